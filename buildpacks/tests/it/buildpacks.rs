//! The buildpack API: several packs, packs from elsewhere, ENV_DIR, `export`, .slugignore, and the transcript around them.

use std::process::Command;

use buildpacks::FailureKind;

use super::harness::{App, HOST, owners, run};
use super::http::serve_files;
use super::repository::Repository;

#[test]
fn two_buildpacks_build_one_app_in_their_order() {
    let build = App::fixture("multi-buildpack")
        .buildpack("heroku/nodejs")
        .buildpack("heroku/python")
        .built();
    assert!(build.transcript.starts_with(
        "-----> Building on the Heroku-24 stack\n-----> Using buildpacks:\n       1. heroku/nodejs\n       2. heroku/python\n\
         -----> Node.js app detected\n"
    ), "{}", build.transcript);
    // What the first one exported is in the second one's environment.
    build.says("       NODE_ENV is production in Python's post_compile\n");
    assert_eq!(build.details().language.as_deref(), Some("Python"));
    let languages: Vec<_> = build
        .details()
        .buildpacks
        .iter()
        .map(|pack| pack.language.as_deref())
        .collect();
    assert_eq!(languages, [Some("Node.js"), Some("Python")]);
    let body = build.serve().get("/").body;
    assert!(
        body.starts_with("Hello from tests v7 web.1: built by Node.js 20."),
        "{body}"
    );
}

#[test]
fn a_buildpack_comes_from_git_by_branch_tag_and_commit() {
    let repository = Repository::with_custom_pack();
    let url = repository.serve();
    let (first, second) = (
        repository.git(&["rev-parse", "v1"]),
        repository.git(&["rev-parse", "main"]),
    );
    let cases = [
        (
            String::new(),
            "-----> Preparing the second message\n",
            &second,
        ),
        (
            "#main".to_owned(),
            "-----> Preparing the second message\n",
            &second,
        ),
        ("#v1".to_owned(), "-----> Preparing the message\n", &first),
        (
            format!("#{first}"),
            "-----> Preparing the message\n",
            &first,
        ),
        // Too short for a server to be asked for, so the whole history is fetched.
        (
            format!("#{}", &first[..10]),
            "-----> Preparing the message\n",
            &first,
        ),
    ];
    for (reference, said, commit) in cases {
        let build = App::fixture("custom-app")
            .buildpack(&format!("{url}{reference}"))
            .built();
        build.says(&format!(
            "-----> Using buildpack: {url}{reference}\n-----> Message app detected\n{said}"
        ));
        assert_eq!(
            build.details().buildpacks[0].revision.as_ref(),
            Some(commit),
            "{reference}"
        );
    }
}

#[test]
fn a_buildpack_from_git_is_served_by_its_own_process_type_and_profile() {
    let repository = Repository::with_custom_pack();
    let build = App::fixture("custom-app")
        .buildpack(&repository.serve())
        .built();
    build.says("-----> Discovering process types\n       Procfile declares types -> (none)\n       Default types for buildpack -> web\n\n");
    assert_eq!(build.process_types(), [("web", "python3 server.py")]);
    assert_eq!(
        build.serve().get("/").body.trim(),
        "A message from tests v7 web.1"
    );
}

#[test]
fn config_vars_are_files_of_env_dir_and_not_in_the_environment() {
    let repository = Repository::with_custom_pack();
    let app = App::fixture("custom-app")
        .buildpack(&repository.serve())
        .config("SECRET", "hush");
    let build = app.built();
    build.says("       SECRET in the environment: no\n");
    build.says("       SECRET in ENV_DIR: hush\n");
    build.says("       compiles with this cache: 1\n");
    app.built().says("       compiles with this cache: 2\n");
}

#[test]
fn a_buildpack_comes_as_an_archive() {
    let repository = Repository::with_custom_pack();
    let archive = |name: &str, arguments: &[&str]| {
        run(Command::new("tar")
            .current_dir(repository.root())
            .args(["--exclude=.git", "-czf", name])
            .args(arguments));
    };
    archive("flat.tgz", &["-C", "pack", "."]);
    archive("nested.tar.gz", &["pack"]);
    let port = serve_files(repository.root().to_owned());
    for name in ["flat.tgz", "nested.tar.gz"] {
        let url = format!("http://{}:{port}/{name}", HOST);
        App::fixture("custom-app")
            .buildpack(&url)
            .built()
            .says("-----> Preparing the second message\n");
    }
}

#[test]
fn an_archive_that_cannot_be_fetched_or_unpacked_says_why() {
    let repository = Repository::with_custom_pack();
    std::fs::write(repository.root().join("text.tgz"), "no archive\n").unwrap();
    let port = serve_files(repository.root().to_owned());
    for (name, why) in [
        ("none.tgz", "       curl: (22)"),
        ("text.tgz", "not in gzip format"),
    ] {
        let url = format!("http://{HOST}:{port}/{name}");
        let build = App::fixture("custom-app").buildpack(&url).build();
        build.says(why);
        assert_eq!(build.failure().kind, FailureKind::Fetch);
    }
}

#[test]
fn a_repository_on_a_server_that_only_has_files_is_fetched_too() {
    let repository = Repository::with_custom_pack();
    repository.git(&["update-server-info"]);
    let port = serve_files(repository.root().to_owned());
    let url = format!("http://{}:{port}/pack/.git#v1", HOST);
    App::fixture("custom-app")
        .buildpack(&url)
        .built()
        .says("-----> Preparing the message\n");
}

#[test]
fn slugignored_files_are_gone_before_anything_looks() {
    let build = App::fixture("procfile-only")
        .file(".slugignore", "# what stays behind\n*.psd\n/docs\ntmp/*.log\n  spec/  \nserver.py.bak # old\n../etc\n")
        .file("art.psd", "")
        .file("deep/er/art.psd", "")
        .file("docs/a", "")
        .file("deep/docs/a", "")
        .file("tmp/x.log", "")
        .file("tmp/keep", "")
        .file("deep/spec/x", "")
        .file("package.json.psd", "")
        .file("server.py.bak", "")
        .built();
    assert!(
        build.transcript.starts_with(
            "-----> Building on the Heroku-24 stack\n-----> Deleting 7 files matching .slugignore patterns.\n"
        ),
        "{}",
        build.transcript
    );
    let there = |path: &str| build.tree().join(path).exists();
    for path in [
        "art.psd",
        "deep/er/art.psd",
        "docs",
        "tmp/x.log",
        "deep/spec",
        "package.json.psd",
        "server.py.bak",
    ] {
        assert!(!there(path), "{path}");
    }
    for path in [
        "deep/docs/a",
        "tmp/keep",
        "server.py",
        "Procfile",
        "deep/er",
    ] {
        assert!(there(path), "{path}");
    }
}

#[test]
fn slugignore_does_not_reach_through_links() {
    let app = App::fixture("procfile-only").file(".slugignore", "link/hosts\n**/hosts\n");
    std::os::unix::fs::symlink("/etc", app.source().join("link")).unwrap();
    let build = app.built();
    build.does_not_say("Deleting");
}

#[test]
fn the_first_of_several_languages_wins_and_the_user_is_told() {
    let build = App::fixture("multi-buildpack").built();
    build.says(
        " !     Warning: Multiple default buildpacks reported the ability to handle this app. The first buildpack in the list below will be used.\n\
         \t\t\tDetected buildpacks: Node.js,Python\n\
         \t\t\tSee https://devcenter.heroku.com/articles/buildpacks#buildpack-detect-order\n\
         -----> Node.js app detected\n",
    );
}

#[test]
fn process_types_of_the_procfile_and_of_the_buildpack_are_told_apart() {
    let build = App::fixture("node-express")
        .file(
            "Procfile",
            "release: ./migrate\nworker: node w.js\n# note\n",
        )
        .built();
    build.says("-----> Discovering process types\n       Procfile declares types -> release, worker\n       Default types for buildpack -> web\n\n");
    assert!(build.transcript.ends_with("-> web\n\n"));
    assert_eq!(
        build.process_types(),
        [
            ("release", "./migrate"),
            ("web", "npm start"),
            ("worker", "node w.js")
        ]
    );
}

#[test]
fn the_built_tree_belongs_to_the_build_and_holds_no_git() {
    let app = App::fixture("procfile-only").file(".git/config", "secret");
    let build = app.built();
    assert!(!build.tree().join(".git").exists());
    let strange: Vec<_> = owners(build.tree())
        .into_iter()
        .filter(|(_, uid)| *uid != 2000)
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}
