// An OpenID Connect provider, the real one of the registry, with people of the tests' own.
//
// node oidc-provider.mjs <its directory> <redirect address>; says its issuer, and ends with its standard input.

import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [, , directory, redirect] = process.argv;
const { default: Provider } = await import(pathToFileURL(`${directory}/lib/index.js`));

// Who somebody is who logs in as this, as GET /person?sub=…&email=…&groups=… has said last.
const people = new Map();
const person = (sub) => {
  const { email, groups } = people.get(sub);
  return {
    sub,
    email,
    email_verified: sub !== "unverified",
    name: `${sub} of the provider`,
    groups: groups.split(",").filter((group) => group),
  };
};

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "paas",
        client_secret: "a secret of the tests' own",
        redirect_uris: [redirect],
        grant_types: ["authorization_code"],
        response_types: ["code"],
      },
    ],
    claims: {
      openid: ["sub"],
      email: ["email", "email_verified"],
      profile: ["name"],
      groups: ["groups"],
    },
    scopes: ["openid", "email", "profile", "groups"],
    pkce: { required: () => true },
    cookies: { keys: ["of the tests' own"] },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => person(sub) }),
  });
  const answer = provider.callback();
  server.on("request", (request, response) => {
    const { pathname, searchParams } = new URL(request.url, issuer);
    if (pathname !== "/person") return answer(request, response);
    people.set(searchParams.get("sub"), Object.fromEntries(searchParams));
    response.end();
  });
  console.log(issuer);
});
process.stdin.resume().on("end", () => process.exit(0));
