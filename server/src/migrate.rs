//! `paasd migrate-store`: this host's embedded store, and its blobs where they move too, to where many hosts reach them.

use anyhow::{Context as _, bail};
use store::blob::{BlobStore, copy_all};
use store::embedded::FILE_NAME;
use store::migrate::{self, Migration};

use crate::args::{ConfigSource, MigrateStore};
use crate::config::{self, Config, StoreChoice};
use crate::{identity, storage};

/// Lines of progress are this many keys apart.
const TELL_EVERY: usize = 1000;
const TELL_BLOBS_EVERY: usize = 100;

/// Answers with what to do next.
pub(crate) fn run(args: MigrateStore, say: fn(&str)) -> anyhow::Result<String> {
    let from = config::load(&args.source)?;
    if from.store != StoreChoice::Embedded {
        bail!(
            "the store in {} is {} already; the configuration to migrate from is the one with the embedded store",
            args.source.config.display(),
            String::from(from.store)
        );
    }
    if !from.data_dir.join(FILE_NAME).exists() {
        bail!(
            "there is no embedded store in {}: nothing to migrate",
            from.data_dir.display()
        );
    }
    let runtime = tokio::runtime::Runtime::new()?;
    if args.cancel {
        return runtime.block_on(cancel(&from));
    }
    let to = target(&from, &args)?;
    runtime.block_on(migrate(&from, &to, say))
}

fn target(from: &Config, args: &MigrateStore) -> anyhow::Result<Config> {
    let to = match (&args.to, &args.to_config) {
        (Some(store), _) => Config {
            store: store.clone(),
            ..from.clone()
        },
        (None, Some(config)) => config::load(&ConfigSource {
            config: config.clone(),
        })?,
        (None, None) => bail!("say where to: --to etcds://host:port,host:port or --to-config FILE"),
    };
    if to.store == StoreChoice::Embedded {
        bail!("the target is embedded too; name an etcd: etcds://host:port,host:port");
    }
    if to.data_dir != from.data_dir {
        bail!(
            "data_dir is {} in one configuration and {} in the other; it stays where it is, with the host's keys",
            from.data_dir.display(),
            to.data_dir.display()
        );
    }
    Ok(to)
}

async fn migrate(from: &Config, to: &Config, say: fn(&str)) -> anyhow::Result<String> {
    let source = open_source(from).await?;
    let target = storage::open_store(to).await?;
    // Before the store: when it says that it has moved, its blobs have.
    let blobs = copy_blobs(from, to, say).await?;
    let place = String::from(to.store.clone());
    let migration = Migration {
        from: identity::node_id(&from.data_dir)?.to_string(),
        to: place.clone(),
    };
    let mut told = 0;
    let tell = |written: usize, all: usize| {
        if written / TELL_EVERY > told / TELL_EVERY {
            say(&format!("{written} of {all} keys"));
        }
        told = written;
    };
    let migrated = migrate::migrate(&*source.store, &*target.store, &migration, tell)
        .await
        .context("could not migrate the store; run this again, and it goes on where it was")?;
    source.close().await;
    Ok(format!(
        "{} keys are in {place}, read back and compared; {} were written now.{blobs}\n\
         Set `store = \"{place}\"` in the configuration, and start paasd. The old store stays in {}, and is no longer \
         used.",
        migrated.keys,
        migrated.written,
        from.data_dir.join(FILE_NAME).display()
    ))
}

/// What there is to say of it, for the summary.
async fn copy_blobs(from: &Config, to: &Config, say: fn(&str)) -> anyhow::Result<String> {
    if storage::blob_config(from) == storage::blob_config(to) {
        return Ok(String::new());
    }
    let (source, target) = (
        BlobStore::open(&storage::blob_config(from))?,
        BlobStore::open(&storage::blob_config(to))?,
    );
    let scratch = from.data_dir.join("migrating-blobs");
    let tell = |done: usize, all: usize| {
        if done.is_multiple_of(TELL_BLOBS_EVERY) {
            say(&format!("{done} of {all} blobs"));
        }
    };
    let copied = copy_all(&source, &target, &scratch, tell)
        .await
        .context("could not copy the blobs; run this again, and it goes on where it was")?;
    fs_err::remove_dir_all(&scratch)?;
    Ok(format!(
        "\n{} blobs ({} MiB) are in the new blob store, read back and compared; {} were written now.",
        copied.blobs,
        copied.bytes >> 20,
        copied.written
    ))
}

async fn cancel(from: &Config) -> anyhow::Result<String> {
    let source = open_source(from).await?;
    let was = migrate::cancel(&*source.store).await?;
    source.close().await;
    Ok(match was {
        Some(to) => format!(
            "The embedded store may be used again. Empty {to} before anything migrates there again."
        ),
        None => "The embedded store was not migrated; it can be used.".to_owned(),
    })
}

/// The store's lock shows whether a paasd runs on it.
async fn open_source(from: &Config) -> anyhow::Result<storage::OpenStore> {
    storage::open_store(from).await.with_context(|| {
        format!(
            "the store in {} cannot be had: if a paasd runs on it, stop that one first (`systemctl stop paasd`); its \
             dynos go on",
            from.data_dir.display()
        )
    })
}
