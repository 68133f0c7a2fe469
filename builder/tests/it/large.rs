use std::time::Instant;

use super::common::Platform;
use super::common::user::BOTH;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_a_hundred_megabytes_goes_both_ways_over_both_transports() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let mut noise = vec![0; 100 * MIB];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut noise);
    for (over, name) in BOTH.into_iter().zip(["over-http", "over-ssh"]) {
        let app = platform.app(name, &user).await;
        let tree = user
            .work_tree(&platform, over, name, &[("Procfile", "web: x")])
            .await;
        std::fs::write(tree.file("noise"), &noise).unwrap();
        tree.git(&["-c", "core.compression=0", "add", "-A"])
            .await
            .ok();
        tree.commit(&[]).await;
        let began = Instant::now();
        tree.push(&["main"]).await.ok().says("Released v2");
        let pushed = began.elapsed();
        let began = Instant::now();
        tree.git(&["clone", "-q", &user.url(&platform, over, name), "copy"])
            .await
            .ok();
        println!(
            "{over:?}: push and deploy {pushed:.1?}, clone {:.1?}",
            began.elapsed()
        );
        assert!(
            std::fs::read(tree.file("copy/noise")).unwrap() == noise,
            "{over:?} changed the file"
        );
        assert!(platform.app_record(app).await.repo_size.unwrap() > 100 * MIB as u64);
    }
}
