// Answers with the file `message`.
const fs = require("fs");
const http = require("http");

const message = fs.readFileSync("message", "utf8");
const server = http.createServer((_, response) => response.end(message));
server.listen(process.env.PORT);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
