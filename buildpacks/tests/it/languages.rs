//! One app per shipped pack: built, built again from the cache, served, and ended.

use std::thread;
use std::time::Duration;

use super::harness::{App, Dyno, eventually};
use super::http::{Message, WebSocket, get, get_with};

const GREETING: &str = "Hello from tests v7 web.1";

/// What the samples promise: a request in flight is finished, WebSocket clients are told to come back, the exit is clean.
fn ends_politely(dyno: &Dyno) {
    let mut socket = WebSocket::open(dyno.address, "/ws");
    socket.send("hello");
    assert_eq!(socket.receive(), Message::Text("hello".to_owned()));
    let address = dyno.address;
    let slow = thread::spawn(move || get(address, "/slow?ms=2500"));
    // The request is on its way once a connection of it is open; what it waits for takes far longer than this check.
    assert!(eventually(Duration::from_secs(2), || !slow.is_finished()
        && get(address, "/").is_ok()));
    dyno.terminate();
    assert_eq!(socket.receive(), Message::Close(1001));
    let answer = slow.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.body.trim()), (200, "slow"));
    assert_eq!(dyno.exit_status(), 0, "{}", dyno.log());
}

#[test]
fn a_flask_app_with_gunicorn_from_pypi_is_built_served_and_built_again_without_pip() {
    let app = App::fixture("python-flask");
    let cold = app.built();
    cold.says("-----> Python app detected\n");
    cold.says("-----> Installing dependencies using 'pip install -r requirements.txt'\n");
    cold.says("       Successfully installed Flask-3.1.1");
    assert_eq!(cold.process_types(), [("web", "gunicorn app:app")]);
    assert_eq!(cold.details().language.as_deref(), Some("Python"));

    let warm = app.built();
    warm.says("-----> Restoring dependencies from cache (requirements.txt is unchanged)\n");
    warm.does_not_say("pip install");
    eprintln!(
        "python: cold {:?}, unchanged {:?}",
        cold.elapsed, warm.elapsed
    );

    let dyno = warm.serve();
    assert_eq!(dyno.get("/").body.trim(), GREETING);
    let env = dyno.get("/env").body;
    // 512 MB hold two workers of 256 MB.
    assert!(env.contains(r#""WEB_CONCURRENCY":"2""#), "{env}");
    assert!(env.contains(r#""PYTHONUNBUFFERED":"true""#), "{env}");
    ends_politely(&dyno);
}

#[test]
fn changed_requirements_are_installed_afresh() {
    let app = App::empty()
        .file("requirements.txt", "itsdangerous==2.2.0\n")
        .file("Procfile", "web: true\n");
    app.built();
    app.write("requirements.txt", "-r more.txt\n");
    app.write("more.txt", "blinker==1.9.0\n");
    let changed = app.built();
    changed.says("Successfully installed blinker-1.9.0");
    let packages = changed
        .tree()
        .join(".heroku/python/lib/python3.13/site-packages");
    assert!(packages.join("blinker").is_dir() && !packages.join("itsdangerous").exists());
    // A file that is taken in counts like the file that takes it in.
    app.write("more.txt", "blinker==1.8.2\n");
    app.built().says("Successfully installed blinker-1.8.2");
}

#[test]
fn a_python_package_is_installed_with_its_dependencies() {
    let app = App::empty()
        .file("pyproject.toml", "[project]\nname = \"greeter\"\nversion = \"1\"\ndependencies = [\"itsdangerous==2.2.0\"]\n[build-system]\nrequires = [\"setuptools==80.9.0\"]\nbuild-backend = \"setuptools.build_meta\"\n[project.scripts]\ngreet = \"greeter:main\"\n[tool.setuptools]\npackages = [\"greeter\"]\npackage-dir = { greeter = \"src/greeter\" }\n")
        .file("src/greeter/__init__.py", "def main(): print('one')\n");
    app.built().says("pip install .'");
    app.write("src/greeter/__init__.py", "def main(): print('two')\n");
    let second = app.built();
    second.says("-----> Restoring dependencies from cache (pyproject.toml is unchanged)\n");
    let package = second
        .tree()
        .join(".heroku/python/lib/python3.13/site-packages");
    assert!(
        fs_err::read_to_string(package.join("greeter/__init__.py"))
            .unwrap()
            .contains("two")
    );
    assert!(package.join("itsdangerous").is_dir());
    let script = fs_err::read_to_string(second.tree().join(".heroku/python/bin/greet")).unwrap();
    assert!(
        script.starts_with("#!/app/.heroku/python/bin/python"),
        "{script}"
    );
}

#[test]
fn a_python_the_stack_does_not_have_is_refused_with_what_to_do() {
    let build = App::empty()
        .file("requirements.txt", "")
        .file(".python-version", "3.9\n")
        .build();
    assert_eq!(build.status, Some(15));
    build
        .says(" !     Error: .python-version asks for Python 3.9, and this stack has Python 3.13.");
    build.says(" !     Write 3.13 into .python-version, or use the official buildpack");
}

#[test]
fn djangos_static_files_are_collected() {
    let app = App::fixture("django-ish");
    let build = app.built();
    build.says("-----> $ python manage.py collectstatic --noinput\n");
    build.says("static file");
    let dyno = build.serve();
    assert_eq!(dyno.get("/").body.trim(), GREETING);
    assert!(dyno.get("/static/site.css").body.contains("color"));
}

#[test]
fn an_express_app_from_npm_is_built_served_and_built_again_without_npm() {
    let app = App::fixture("node-express");
    let cold = app.built();
    cold.says("-----> Node.js app detected\n");
    cold.says("       Installing node modules (package-lock.json)\n");
    assert_eq!(cold.process_types(), [("web", "npm start")]);

    let warm = app.built();
    warm.says("       node_modules (package-lock.json unchanged)\n");
    warm.does_not_say("added ");
    eprintln!(
        "node: cold {:?}, unchanged {:?}",
        cold.elapsed, warm.elapsed
    );

    let dyno = warm.serve();
    assert_eq!(dyno.get("/").body.trim(), GREETING);
    let env = dyno.get("/env").body;
    assert!(
        env.contains(r#""NODE_ENV":"production""#) && env.contains(r#""WEB_CONCURRENCY":"1""#),
        "{env}"
    );
    ends_politely(&dyno);
}

#[test]
fn a_build_script_sees_development_packages_and_the_slug_does_not() {
    let app = App::empty()
        .file("package.json", r#"{"name":"a","version":"1.0.0","dependencies":{"ms":"2.1.3"},"devDependencies":{"semver":"7.7.2"},
            "scripts":{"build":"node build.js"}}"#)
        // It also changes a dependency in place, which must not reach the cache.
        .file("build.js", "const fs = require('fs'); require('semver'); fs.appendFileSync('node_modules/ms/index.js', '\\n// built');\n\
            fs.writeFileSync('built', String(fs.readFileSync('node_modules/ms/index.js', 'utf8').split('// built').length - 1));\n")
        .file("Procfile", "web: node x.js\n");
    for round in ["first", "second"] {
        let build = app.built();
        build.says("-----> Pruning devDependencies\n");
        let modules = build.tree().join("node_modules");
        assert!(
            modules.join("ms").is_dir() && !modules.join("semver").exists(),
            "{round}"
        );
        assert_eq!(
            fs_err::read_to_string(build.tree().join("built")).unwrap(),
            "1",
            "{round}"
        );
    }
}

#[test]
fn a_node_the_stack_does_not_have_comes_from_npm() {
    let app = App::empty()
        .file("package.json", r#"{"name":"a","version":"1.0.0","engines":{"node":"22.x"},"scripts":{"start":"node server.js"}}"#)
        .file("server.js", "require('http').createServer((_, r) => r.end(process.version)).listen(process.env.PORT);\n");
    app.built()
        .says("       Downloading and installing Node.js 22.");
    let warm = app.built();
    warm.says("       Restoring Node.js 22.");
    assert!(warm.serve().get("/").body.starts_with("v22."));
}

#[test]
fn an_app_locked_by_another_tool_is_refused_with_what_to_do() {
    let build = App::empty()
        .file("package.json", "{}")
        .file("yarn.lock", "")
        .build();
    assert_eq!(build.status, Some(15));
    build.says(" !     Error: this app's dependencies are locked by yarn.lock, and this buildpack installs with npm only.");
    build.says("https://github.com/heroku/heroku-buildpack-nodejs");
}

#[test]
fn a_package_json_that_cannot_be_parsed_fails_with_the_reason() {
    let build = App::empty().file("package.json", "{\"name\": }").build();
    assert_eq!(build.status, Some(15));
    build.says(" !     Error: package.json cannot be parsed.");
}

#[test]
fn a_ruby_app_runs_on_the_stacks_gems() {
    let build = App::fixture("ruby-rack").built();
    build.says("       The stack's gems satisfy the Gemfile\n");
    let types = build.process_types();
    assert!(
        types.contains(&(
            "web",
            "bundle exec rackup config.ru -o 0.0.0.0 -p ${PORT:-5000}"
        )),
        "{types:?}"
    );
    assert_eq!(build.serve().get("/").body.trim(), GREETING);
}

#[test]
fn a_ruby_app_brings_its_gems_in_vendor_cache() {
    let app = App::empty()
        .file("Gemfile", "source \"https://rubygems.org\"\ngem \"greeting\"\n")
        .file("Gemfile.lock", "GEM\n  remote: https://rubygems.org/\n  specs:\n    greeting (1.0.0)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  greeting\n\nBUNDLED WITH\n   2.6.7\n")
        .file("app.rb", "require \"socket\"\nrequire \"greeting\"\nserver = TCPServer.new(\"0.0.0.0\", ENV.fetch(\"PORT\"))\nloop { client = server.accept; nil until client.gets.to_s.strip.empty?; client.write \"HTTP/1.1 200 OK\\r\\nContent-Length: #{Greeting.text.size}\\r\\n\\r\\n#{Greeting.text}\"; client.close }\n")
        .file("Procfile", "web: bundle exec ruby app.rb\n");
    super::harness::make_gem(
        &app.source().join("vendor/cache"),
        "greeting",
        "module Greeting; def self.text = \"from a gem\"; end\n",
    );
    let cold = app.built();
    cold.says("bundle install -j4 --local\n");
    let warm = app.built();
    warm.says("       Restoring gems from cache (Gemfile.lock is unchanged)\n");
    assert_eq!(warm.serve().get("/").body.trim(), "from a gem");
}

#[test]
fn a_go_app_is_installed_into_bin() {
    let app = App::fixture("go-hello");
    let build = app.built();
    build.says("       example.com/go-hello\n");
    build.does_not_say("net/http");
    assert_eq!(build.process_types(), [("web", "bin/go-hello")]);
    let dyno = build.serve();
    assert_eq!(dyno.get("/").body.trim(), GREETING);
    dyno.terminate();
    assert_eq!(dyno.exit_status(), 0);
}

#[test]
fn a_rust_app_is_installed_into_bin_and_its_dependencies_stay_compiled() {
    let app = App::fixture("rust-hello");
    let cold = app.built();
    cold.says("Compiling itoa v1.0.15");
    let warm = app.built();
    warm.says("Compiling rust-hello v1.0.0");
    warm.does_not_say("Compiling itoa");
    assert_eq!(warm.process_types(), [("web", "bin/rust-hello")]);
    assert_eq!(warm.serve().get("/").body.trim(), GREETING);
}

#[test]
fn a_static_site_is_served_as_its_static_json_says() {
    let build = App::fixture("static-site").built();
    build.says("-----> Static app detected\n");
    let dyno = build.serve();
    let index = dyno.get("/");
    assert!(index.body.contains("Hello from a static site"));
    assert_eq!(index.header("X-Frame-Options"), Some("DENY"));
    assert_eq!(index.header("Cache-Control"), None);
    assert!(
        dyno.get("/about").body.contains("About the static site"),
        "clean URLs"
    );
    assert!(
        dyno.get("/no/such/page")
            .body
            .contains("Hello from a static site"),
        "fallback to the single page"
    );
    assert_eq!(
        (dyno.get("/old").status, dyno.get("/old").header("Location")),
        (302, Some("/about"))
    );
    assert_eq!(dyno.get("/.profile.d/x").status, 404);
    let style = get_with(
        dyno.address,
        "/assets/site.css",
        "Accept-Encoding: gzip\r\n",
    )
    .unwrap();
    assert_eq!(style.header("Content-Encoding"), Some("gzip"));
    assert_eq!(
        style.header("Cache-Control"),
        Some("public, max-age=31536000, immutable")
    );
    dyno.terminate();
    assert_eq!(dyno.exit_status(), 0);
}

#[test]
fn a_lone_index_html_is_a_site_that_shows_nothing_else_of_the_app() {
    let build = App::empty()
        .file("index.html", "<p>Lone</p>")
        .file("Procfile", "")
        .file("a/b.txt", "deep")
        .built();
    let dyno = build.serve();
    assert_eq!(dyno.get("/").body, "<p>Lone</p>");
    assert_eq!(dyno.get("/a/b.txt").body, "deep");
    for path in ["/Procfile", "/.heroku/static/nginx.conf", "/nothing"] {
        assert_eq!(dyno.get(path).status, 404, "{path}");
    }
}

#[test]
fn https_only_sends_plain_requests_away() {
    let build = App::empty()
        .file("index.html", "<p>Safe</p>")
        .file("static.json", r#"{"root": ".", "https_only": true}"#)
        .built();
    let dyno = build.serve();
    let plain = get_with(dyno.address, "/x?y=1", "X-Forwarded-Proto: http\r\n").unwrap();
    assert_eq!(
        (plain.status, plain.header("Location")),
        (301, Some("https://app.test/x?y=1"))
    );
    assert_eq!(
        get_with(dyno.address, "/", "X-Forwarded-Proto: https\r\n")
            .unwrap()
            .status,
        200
    );
}

#[test]
fn an_app_of_a_procfile_alone_runs_on_what_the_stack_has() {
    let build = App::fixture("procfile-only").built();
    build.says("-----> Procfile app detected\n");
    let dyno = build.serve();
    assert_eq!(dyno.get("/").body.trim(), GREETING);
    dyno.terminate();
    assert_eq!(dyno.exit_status(), 0);
}
