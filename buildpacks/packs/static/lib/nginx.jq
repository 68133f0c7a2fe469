# static.json in, nginx.conf out. @PORT@, @WORKERS@ and @TMP@ are filled in at boot.

# A quoted nginx string; nginx has no escape for $, so it comes from a variable.
def quoted: tostring | gsub("[\\n\\r]"; " ") | gsub("(?<c>[\\\\\"])"; "\\\(.c)") | gsub("\\$"; "${dollar}") | "\"\(.)\"";

# A path pattern: ** is anything, * is anything within a segment.
def pattern: gsub("(?<c>[.+?^${}()|\\[\\]\\\\\"])"; "\\\(.c)") | gsub("\\*\\*"; "\u0001") | gsub("\\*"; "[^/]*") | gsub("\u0001"; ".*")
  | gsub("[\\n\\r ]"; "") | "\"~^\(if startswith("/") then . else "/" + . end)$\"";

def file: "/" + ltrimstr("/");

def header_maps:
  [(.headers // {}) | to_entries[] | .key as $path | .value | to_entries[] | {name: .key, path: $path, value: .value}]
  | group_by(.name) | to_entries[]
  # nginx takes the first pattern that fits, static.json the last.
  | "  map $path $header_\(.key) {", (.value | reverse[] | "    \(.path | pattern) \(.value | quoted);"), "    default \"\";", "  }";

def header_lines:
  [(.headers // {}) | to_entries[] | .value | keys[]] | unique | to_entries[]
  | "    add_header \(.value | gsub("[^A-Za-z0-9_-]"; "")) $header_\(.key) always;";

def routes:
  (.routes // {}) | to_entries
  | "  map $path $route {", (.[] | "    \(.key | pattern) \(.value | file | quoted);"), "    default \"/@none\";", "  }";

def redirects:
  (.redirects // {}) | to_entries[]
  | "    location = \(.key | file | quoted) { return \((.value.status? // 301) | tonumber | floor) \(.value.url | quoted); }";

"worker_processes @WORKERS@;
pid @TMP@/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  charset \(.encoding // "utf-8" | quoted);
  access_log \(if (.logging.access? // false) == true then "/dev/stdout" else "off" end);
  sendfile on;
  tcp_nopush on;
  server_tokens off;
  keepalive_timeout 95;
  gzip on;
  gzip_comp_level 6;
  gzip_min_length 256;
  gzip_proxied any;
  gzip_vary on;
  gzip_types text/plain text/css text/xml text/javascript application/javascript application/json application/manifest+json
    application/xml application/rss+xml application/atom+xml application/wasm image/svg+xml font/ttf font/otf;
  client_body_temp_path @TMP@/body;
  proxy_temp_path @TMP@/proxy;
  fastcgi_temp_path @TMP@/fastcgi;
  uwsgi_temp_path @TMP@/uwsgi;
  scgi_temp_path @TMP@/scgi;
  geo $dollar { default \"$\"; }
  # The path as the client asked for it, whichever file answers.
  map $request_uri $path { \"~^(?<asked>[^?]*)\" $asked; }",
routes,
header_maps,
"  server {
    listen @PORT@;
    server_name _;
    root \("/app/" + $root | rtrimstr("/.") | quoted);
    index index.html index.htm;
    absolute_redirect off;",
(if .https_only == true then "    if ($http_x_forwarded_proto = http) { return 301 https://$host$request_uri; }" else empty end),
(if .error_page? then "    error_page 403 404 500 502 503 504 \(.error_page | file | quoted);" else empty end),
header_lines,
redirects,
"    location ~ \"/\\.(?!well-known/)\" { return 404; }",
(if $root == "." then "    location ~ \"^/(Procfile|static\\.json|app\\.json)$\" { return 404; }" else empty end),
"    location / { try_files $uri \(if .clean_urls == true then "$uri.html " else "" end)$uri/ $route =404; }
  }
}"
