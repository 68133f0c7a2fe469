//! Repositories on record: copies that are lost, old, too many, or from before there was a record.

use builder::Limits;
use model::Repository;
use store::{Txn, key};

use super::common::Platform;
use super::common::host::Host;
use super::common::user::{Over, User, WorkTree};

async fn record(platform: &Platform, app: model::AppId) -> Repository {
    key::REPOSITORIES
        .get(&*platform.store, &key::repository(app))
        .await
        .unwrap()
        .unwrap()
        .value
}

/// A clone from this builder, checked by git; how many commits it has.
async fn clone(user: &User, tree: &WorkTree, url: &str, name: &str) -> String {
    tree.git(&["clone", "-q", url, name]).await.ok();
    let copy = tree.file(name);
    user.git(&copy, &["fsck", "--strict"]).await.ok();
    let count = user.git(&copy, &["rev-list", "--count", "HEAD"]).await.ok();
    count.stdout.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_packs_become_one_and_nothing_is_lost() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let other = Host::start(&platform).await;
    let tree = user
        .work_tree(&platform, Over::Http, "ticks", &[("Procfile", "web: x")])
        .await;
    tree.push(&["main"]).await.ok();
    let url = user.url_at(&other, Over::Http, "ticks");
    assert_eq!(clone(&user, &tree, &url, "early").await, "1");
    for number in 1..22 {
        tree.commit(&[("number", &number.to_string())]).await;
        tree.push(&["main"]).await.ok();
    }
    let repository = record(&platform, app).await;
    assert!(repository.packs.len() <= 3, "{}", repository.packs.len());
    for pack in &repository.packs {
        let blob = platform.blobs.read(&pack.checksum, 1 << 20).await.unwrap();
        assert_eq!(blob.len() as u64, pack.size);
    }
    for (name, url) in [
        ("here", user.url(&platform, Over::Http, "ticks")),
        ("there", url),
    ] {
        assert_eq!(clone(&user, &tree, &url, name).await, "22");
    }
    let packs = std::fs::read_dir(
        other
            .disk
            .path()
            .join(format!("repos/{app}.git/objects/pack")),
    )
    .unwrap()
    .filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".pack")
    })
    .count();
    assert_eq!(packs, repository.packs.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_from_before_there_were_records_is_put_on_record() {
    let mut platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user
        .work_tree(&platform, Over::Http, "ticks", &[("Procfile", "web: x")])
        .await;
    tree.git(&["tag", "v1"]).await.ok();
    tree.push(&["main", "v1"]).await.ok();
    let before = record(&platform, app).await;
    platform.stop_builder().await;
    platform
        .commit(Txn::new().delete(key::repository(app)))
        .await;
    platform.start_builder().await;
    super::common::eventually("it is on record", async || {
        let found = key::REPOSITORIES
            .get(&*platform.store, &key::repository(app))
            .await
            .unwrap();
        found.is_some_and(|found| found.value.refs == before.refs)
    })
    .await;
    let other = Host::start(&platform).await;
    let url = user.url_at(&other, Over::Ssh, "ticks");
    assert_eq!(clone(&user, &tree, &url, "there").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_over_the_limit_go_and_come_back_when_they_are_needed() {
    let limits = Limits {
        repository_bytes: 0,
        ..Limits::heroku()
    };
    let platform = Platform::with_limits(limits).await;
    let user = platform.user("user@example.com").await;
    platform.app("ticks", &user).await;
    let mut host = Host::start(&platform).await;
    let tree = user
        .work_tree(&platform, Over::Http, "ticks", &[("Procfile", "web: x")])
        .await;
    let url = user.url_at(&host, Over::Http, "ticks");
    tree.git(&["push", &url, "main"]).await.ok();
    assert_eq!(host.copies(), 1);
    // It tidies when it starts.
    host.kill();
    host.boot(&platform).await;
    super::common::eventually("the copy is gone", async || host.copies() == 0).await;
    tree.commit(&[("more", "x")]).await;
    let url = user.url_at(&host, Over::Http, "ticks");
    tree.git(&["push", &url, "main"])
        .await
        .ok()
        .says("Released v3");
    assert_eq!(clone(&user, &tree, &url, "copy").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_lost_a_pack_or_its_refs_is_mended() {
    let mut platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user
        .work_tree(&platform, Over::Http, "ticks", &[("Procfile", "web: x")])
        .await;
    tree.push(&["main"]).await.ok();
    for lost in ["objects/pack", "refs", "paas-packs", "HEAD"] {
        let path = platform
            .dir
            .path()
            .join(format!("data/repos/{app}.git/{lost}"));
        match path.is_dir() {
            true => std::fs::remove_dir_all(&path).unwrap(),
            false => std::fs::remove_file(&path).unwrap(),
        }
        platform.stop_builder().await;
        platform.start_builder().await;
        let url = user.url(&platform, Over::Http, "ticks");
        assert_eq!(
            clone(&user, &tree, &url, &lost.replace('/', "-")).await,
            "1",
            "{lost}"
        );
    }
}
