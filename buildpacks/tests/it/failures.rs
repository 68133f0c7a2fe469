//! Builds that fail do so in Heroku's words, and say which way they failed.

use buildpacks::FailureKind;

use super::harness::App;
use super::repository::Repository;

#[test]
fn an_app_of_no_known_language_is_refused() {
    let build = App::fixture("fails-to-detect").build();
    assert_eq!(
        build.transcript,
        "-----> Building on the Heroku-24 stack\n\
         -----> Determining which buildpack to use for this app\n \
         !     No default language could be detected for this app.\n\
         \t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.\n\
         \t\t\tSee https://devcenter.heroku.com/articles/buildpacks\n\
         \n \
         !     Push failed\n"
    );
    assert_eq!(
        (build.status, build.failure().kind),
        (Some(13), FailureKind::NoDefaultLanguage)
    );
}

#[test]
fn a_buildpack_that_does_not_take_the_app_shows_why() {
    let build = App::fixture("fails-to-detect")
        .buildpack("heroku/python")
        .build();
    build.says(
        "-----> App not compatible with buildpack: heroku/python\n       \
         No file of a Python app was found, such as requirements.txt or pyproject.toml.\n       \
         More info: https://devcenter.heroku.com/articles/buildpacks#detection-failure\n\n \
         !     Push failed\n",
    );
    assert_eq!(
        (build.status, build.failure().kind),
        (Some(14), FailureKind::NotCompatible)
    );
    assert_eq!(build.failure().buildpack.as_deref(), Some("heroku/python"));
}

#[test]
fn a_compile_that_fails_rejects_the_push() {
    let build = App::fixture("fails-to-compile").build();
    build.says("No matching distribution found for this-package-does-not-exist-anywhere==0.0.1");
    assert!(
        build.transcript.ends_with(
            "\n !     Push rejected, failed to compile Python app.\n\n !     Push failed\n"
        ),
        "{}",
        build.transcript
    );
    assert_eq!(
        (build.status, build.failure().kind),
        (Some(15), FailureKind::Compile)
    );
    assert_eq!(
        build.failure().message,
        "Push rejected, failed to compile Python app."
    );
}

#[test]
fn a_failed_build_leaves_the_cache_of_the_last_good_one_usable() {
    let app = App::empty().file("requirements.txt", "itsdangerous==2.2.0\n");
    app.built();
    app.write(
        "requirements.txt",
        "this-package-does-not-exist-anywhere==0.0.1\n",
    );
    assert_eq!(app.build().status, Some(15));
    app.write("requirements.txt", "itsdangerous==2.2.0\n");
    app.built().says("Restoring dependencies from cache");
}

#[test]
fn a_buildpack_that_cannot_be_fetched_is_named_without_its_password() {
    let repository = Repository::with_custom_pack();
    let url = repository.serve();
    let build = App::fixture("custom-app")
        .buildpack(&format!("{url}#nosuch"))
        .build();
    build.says(&format!(
        " !     Push rejected, failed to fetch buildpack {url}#nosuch.\n"
    ));
    build.says("no branch, tag or commit \"nosuch\" in it");
    assert_eq!(
        (build.status, build.failure().kind),
        (Some(12), FailureKind::Fetch)
    );

    let secret = url.replace("git://", "http://me:hush@");
    let build = App::fixture("custom-app").buildpack(&secret).build();
    assert_eq!(build.status, Some(12));
    build.does_not_say("hush");
}

#[test]
fn a_repository_without_a_compile_is_no_buildpack() {
    let repository = Repository::with_custom_pack();
    repository.git(&["rm", "--quiet", "bin/compile"]);
    repository.git(&[
        "-c",
        "user.name=Test",
        "-c",
        "user.email=test@example.com",
        "commit",
        "--quiet",
        "--message",
        "three",
    ]);
    let build = App::fixture("custom-app")
        .buildpack(&repository.serve())
        .build();
    build.says("       it has no bin/compile\n");
    assert_eq!(build.failure().kind, FailureKind::Fetch);
}

#[test]
fn apps_that_break_at_boot_build_well() {
    assert_eq!(
        App::fixture("crash-at-boot").built().process_types(),
        [(
            "web",
            "echo \"about to crash\"; echo \"no database\" >&2; exit 3"
        )]
    );
    assert_eq!(
        App::fixture("never-binds").built().process_types(),
        [("web", "echo \"up, but deaf\"; exec sleep infinity")]
    );
}
