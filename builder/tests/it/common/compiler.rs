//! Compiling without a container: the pushed file `Buildfile` says what the build does, line by line.
//!
//! `print TEXT` · `lines N` (prints N lines of 100 bytes) · `noise BYTES` (a file nothing can compress) · `fail TEXT` ·
//! `hang` (until it is stopped) · `gate` (until the test opens it) · `cache TEXT` (a file in the build cache)

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use builder::{Compile, CompileError, CompileJob, Compiled};
use bytes::Bytes;
use model::BuildpackRef;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
pub(crate) struct FakeCompiler {
    running: AtomicUsize,
    most_at_once: AtomicUsize,
    gate: CancellationToken,
}

impl FakeCompiler {
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Builds that wait at their gate go on, and those to come do not wait.
    pub(crate) fn open_gate(&self) {
        self.gate.cancel();
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Compile for FakeCompiler {
    async fn compile(
        &self,
        job: CompileJob,
        output: mpsc::Sender<Bytes>,
        stop: CancellationToken,
    ) -> Result<Compiled, CompileError> {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _counted = Counted(&self.running);
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::select! {
            result = compile(&job, &output, &self.gate) => result,
            () = stop.cancelled() => Err(CompileError::Stopped),
        }
    }
}

async fn compile(
    job: &CompileJob,
    output: &mpsc::Sender<Bytes>,
    gate: &CancellationToken,
) -> Result<Compiled, CompileError> {
    let print = async |text: String| output.send(text.into()).await.unwrap();
    let (tree, source) = (job.job.built_tree().unwrap(), job.job.source_tar());
    let untar = tokio::process::Command::new("tar")
        .arg("-xf")
        .arg(source)
        .arg("-C")
        .arg(&tree)
        .status();
    assert!(untar.await.unwrap().success());
    print("-----> Fake app detected\n".to_owned()).await;
    for line in std::fs::read_to_string(tree.join("Buildfile"))
        .unwrap_or_default()
        .lines()
    {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "print" => print(format!("{rest}\n")).await,
            "lines" => {
                for number in 0..rest.parse::<u64>().unwrap() {
                    print(format!("{number:099}\n")).await;
                }
            }
            "noise" => {
                let mut noise = vec![0; rest.parse().unwrap()];
                rand::RngCore::fill_bytes(&mut rand::rng(), &mut noise);
                std::fs::write(tree.join("noise"), noise).unwrap();
            }
            "fail" => {
                print(format!(" !     {rest}\n\n !     Push failed\n")).await;
                return Err(CompileError::Told(rest.to_owned()));
            }
            "gate" => gate.cancelled().await,
            "cache" => {
                let file = job.job.cache_dir().join("file");
                let before = std::fs::read_to_string(&file).unwrap_or_default();
                print(format!("the cache had {before:?}\n")).await;
                std::fs::write(&file, rest).unwrap();
            }
            "hang" => std::future::pending().await,
            _ => panic!("{line}"),
        }
    }
    let procfile = std::fs::read_to_string(tree.join("Procfile")).unwrap_or_default();
    let process_types: BTreeMap<_, _> = procfile
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, command)| (name.parse().unwrap(), command.to_owned()))
        .collect();
    Ok(Compiled {
        tree,
        buildpacks: vec![BuildpackRef("heroku/python".to_owned())],
        language: Some("Fake".to_owned()),
        process_types,
    })
}
