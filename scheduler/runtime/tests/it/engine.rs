//! The engines that the suite runs over, and scripts that both understand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::docker::Deadlines;
use runtime::fake::Behaviour;
use runtime::{ContainerId, ContainerSpec, Docker, Fake, Labels, Runtime};

pub(super) const IMAGE: &str = "paas/stack:24";

/// Runs until it is told to end.
pub(super) const RUN: &str = r#"trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done"#;
/// Does not end when told to.
pub(super) const STUBBORN: &str = r#"trap '' TERM; echo ready; while :; do sleep 0.05; done"#;
/// Writes three lines and ends with status 3.
pub(super) const SPEAK: &str = r#"echo one; echo two; echo three; exit 3"#;
/// Gives back what it is given.
pub(super) const ECHO: &str = r#"exec cat"#;

/// An engine, and the containers a test makes in it: gone when the test is.
pub(super) struct Engine {
    pub runtime: Arc<dyn Runtime>,
    pub labels: Labels,
}

impl Engine {
    pub(super) async fn docker() -> Self {
        let runtime = connect().await;
        assert!(
            runtime.image_exists(IMAGE).await.unwrap(),
            "there is no image {IMAGE}: run buildpacks/stacks/build-stack"
        );
        Self::over(Arc::new(runtime))
    }

    pub(super) async fn fake() -> Self {
        let fake = Fake::new();
        fake.only_images(&[IMAGE]);
        fake.script(|spec| match spec.command.last().map(String::as_str) {
            Some(SPEAK) => Behaviour {
                prints: ["one", "two", "three"].map(str::to_owned).to_vec(),
                exits: Some((Duration::ZERO, 3)),
                ..Behaviour::default()
            },
            Some(STUBBORN) => Behaviour {
                prints: vec!["ready".to_owned()],
                ignores_signals: true,
                ..Behaviour::default()
            },
            Some(ECHO) => Behaviour {
                echoes: true,
                ..Behaviour::default()
            },
            _ => Behaviour {
                prints: vec!["ready".to_owned()],
                ..Behaviour::default()
            },
        });
        Self::over(Arc::new(fake))
    }

    fn over(runtime: Arc<dyn Runtime>) -> Self {
        let instance = uuid::Uuid::new_v4().simple().to_string();
        Self {
            runtime,
            labels: Labels::from([("paas.instance".to_owned(), instance)]),
        }
    }

    pub(super) fn spec(&self, script: &str) -> ContainerSpec {
        let command = ["/bin/bash", "-c", script].map(str::to_owned).to_vec();
        let name = format!("paas-test-{}", uuid::Uuid::new_v4().simple());
        let mut spec = ContainerSpec::new(name, IMAGE, command);
        spec.labels = self.labels.clone();
        spec
    }

    pub(super) async fn start(&self, spec: &ContainerSpec) -> ContainerId {
        let id = self.runtime.create(spec).await.unwrap();
        self.runtime.start(&id).await.unwrap();
        id
    }

    /// Starts it, and gives back all that it wrote once it has ended.
    pub(super) async fn output_of(&self, spec: &ContainerSpec) -> String {
        use futures::StreamExt as _;
        let id = self.start(spec).await;
        let lines = self
            .runtime
            .logs(&id, runtime::LogQuery::follow_since(None))
            .await
            .unwrap();
        let all = lines
            .map(|line| String::from_utf8(line.unwrap().bytes.to_vec()).unwrap())
            .collect::<Vec<_>>();
        tokio::time::timeout(Duration::from_secs(60), all)
            .await
            .expect("it ends")
            .join("\n")
    }

    /// Removes every container of the test.
    pub(super) async fn clear(&self) {
        for container in self.runtime.list(&self.labels).await.unwrap() {
            self.runtime.remove(&container.id).await.unwrap();
        }
    }
}

pub(super) async fn connect() -> Docker {
    let socket = Path::new("/var/run/docker.sock");
    Docker::connect(socket, Deadlines::default())
        .await
        .expect("a Docker engine runs on this host")
}
