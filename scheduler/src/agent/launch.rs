//! What a dyno's container is made of.

use std::path::PathBuf;
use std::sync::Arc;

use model::{App, ConfigVars, Dyno, DynoKind, Release, Slug};
use runtime::{
    ContainerSpec, Labels, Limits, LogKeeping, Mount, Publish, Terminal, TtySize, Ulimit,
};
use store::{Keyring, Store, StoreError, key};

use super::config::Config;
use super::environment::{CA_BUNDLE, Parts, environment};

/// Open files of one process, as on Heroku. Few enough for hosts whose own limit is low.
const MAX_FILES: u64 = 10_000;

pub(crate) mod label {
    pub(crate) const KIND: &str = "paas.kind";
    pub(crate) const APP: &str = "paas.app";
    pub(crate) const APP_NAME: &str = "paas.app-name";
    pub(crate) const DYNO: &str = "paas.dyno";
    pub(crate) const DYNO_NAME: &str = "paas.dyno-name";
    pub(crate) const NODE: &str = "paas.node";
    pub(crate) const INSTANCE: &str = "paas.instance";
    pub(crate) const RELEASE: &str = "paas.release";
    pub(crate) const SLUG: &str = "paas.slug";
    /// Its output goes to whoever is attached, and is kept nowhere.
    pub(crate) const ATTACHED: &str = "paas.attached";
}

/// What every container of this agent carries.
pub(crate) fn own_labels(config: &Config) -> Labels {
    Labels::from([
        (label::KIND.to_owned(), "dyno".to_owned()),
        (label::NODE.to_owned(), config.node_id.to_string()),
        (label::INSTANCE.to_owned(), config.instance.clone()),
    ])
}

/// The same for every attempt, so that two can never run.
pub(crate) fn container_name(dyno: &Dyno) -> String {
    format!(
        "paas-{}-{}-{}",
        dyno.app_name,
        dyno.name,
        dyno.id.as_uuid().simple()
    )
}

/// What a launch needs from the store. A keeper keeps it, and so can start its dyno again without a store.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub app: Option<App>,
    pub release: Release,
    pub slug: Slug,
    pub config: ConfigVars,
    pub extra: ConfigVars,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum InputsError {
    #[error("release {0} is not in the store")]
    NoRelease(model::ReleaseVersion),
    #[error("release {0} has no slug; deploy the app first")]
    NoSlug(model::ReleaseVersion),
    #[error("the store could not be read")]
    Store(#[source] StoreError),
}

impl Inputs {
    pub(crate) async fn load(
        store: &Arc<dyn Store>,
        keyring: &Keyring,
        dyno: &Dyno,
    ) -> Result<Self, InputsError> {
        let store = &**store;
        let failed = InputsError::Store;
        let version = dyno.release;
        let release = key::RELEASES
            .get(store, &key::release(dyno.app, version))
            .await
            .map_err(failed)?;
        let release = release.ok_or(InputsError::NoRelease(version))?.value;
        let slug_id = release.slug.ok_or(InputsError::NoSlug(version))?;
        let slug = key::SLUGS
            .get(store, &key::slug(dyno.app, slug_id))
            .await
            .map_err(failed)?;
        let slug = slug.ok_or(InputsError::NoSlug(version))?.value;
        let config_key = key::release_config(dyno.app, version);
        let config = match key::RELEASE_CONFIG
            .get(store, &config_key)
            .await
            .map_err(failed)?
        {
            Some(sealed) => keyring.open(&config_key, &sealed.value).map_err(failed)?,
            None => ConfigVars::default(),
        };
        let extra = match &dyno.kind {
            DynoKind::OneOff(one_off) if !one_off.env.as_bytes().is_empty() => keyring
                .open(&key::dyno(dyno.app, dyno.id), &one_off.env)
                .map_err(failed)?,
            _ => ConfigVars::default(),
        };
        let app = key::APPS
            .get(store, &key::app(dyno.app))
            .await
            .map_err(failed)?
            .map(|app| app.value);
        Ok(Self {
            app,
            release,
            slug,
            config,
            extra,
        })
    }
}

/// Directories of one attempt to run a dyno, and the unpacked slug below them.
#[derive(Debug, Clone)]
pub(crate) struct Dirs {
    pub slug: PathBuf,
    pub upper: PathBuf,
    pub work: PathBuf,
}

/// Heroku's order: `.profile.d` by name, `.profile`, then the command by a fresh shell. The command is an argument of the
/// script, never part of its text.
const LAUNCHER: &str = r#"cd "$HOME" || exit 1
if [ -d .profile.d ]; then
  for _paas_profile in .profile.d/*.sh; do
    if [ -r "$_paas_profile" ]; then . "./$_paas_profile"; fi
  done
  unset _paas_profile
fi
if [ -r .profile ]; then . ./.profile; fi
exec bash -c "$1"
"#;

/// What tells our commands in a container from those that the host's operators start there.
pub(crate) const INSIDE: &str = "paas-inside";

/// Begins as the dyno's own process did.
pub(crate) fn inside(command: &str) -> Vec<String> {
    ["/bin/bash", "-c", LAUNCHER, INSIDE, command]
        .map(str::to_owned)
        .to_vec()
}

pub(crate) fn container(
    config: &Config,
    dyno: &Dyno,
    inputs: &Inputs,
    dirs: &Dirs,
) -> ContainerSpec {
    let command = ["/bin/bash", "-c", LAUNCHER, "paas-launcher", &dyno.command].map(str::to_owned);
    let mut spec = ContainerSpec::new(container_name(dyno), &config.run_image, command.to_vec());
    spec.labels = own_labels(config);
    spec.labels.extend(
        [
            (label::APP, dyno.app.to_string()),
            (label::APP_NAME, dyno.app_name.to_string()),
            (label::DYNO, dyno.id.to_string()),
            (label::DYNO_NAME, dyno.name.to_string()),
            (label::RELEASE, dyno.release.to_string()),
            (label::SLUG, inputs.slug.checksum.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    spec.env = environment(&Parts {
        dyno,
        app: inputs.app.as_ref(),
        release: &inputs.release,
        slug: &inputs.slug,
        config: &inputs.config,
        extra: &inputs.extra,
        stack: &config.stack,
        port: config.port,
    });
    spec.working_dir = "/app".to_owned();
    spec.hostname = Some(dyno.id.to_string());
    spec.network = Some(config.network.name.clone());
    spec.publish = published(config, dyno);
    spec.mounts = mounts(config, dirs);
    spec.limits = Limits {
        memory_bytes: Some(dyno.size.memory_bytes()),
        cpu_shares: Some(dyno.size.cpu_shares()),
        pids: dyno.size.max_pids(),
        ulimits: vec![
            Ulimit {
                name: "nofile".to_owned(),
                soft: MAX_FILES,
                hard: MAX_FILES,
            },
            Ulimit {
                name: "core".to_owned(),
                soft: 0,
                hard: 0,
            },
        ],
        ..Limits::default()
    };
    if let DynoKind::OneOff(one_off) = &dyno.kind
        && let Some(attach) = &one_off.attach
    {
        spec.terminal = if attach.tty {
            Terminal::Tty(terminal_size(attach.columns, attach.lines))
        } else {
            Terminal::Pipes
        };
        spec.logs = LogKeeping::Off;
        spec.labels
            .insert(label::ATTACHED.to_owned(), "true".to_owned());
    }
    spec
}

/// A node with an address of its own has routers elsewhere, and they do not reach its bridge. Where there is one host only,
/// its router does, and a published port would be a way in from outside.
fn published(config: &Config, dyno: &Dyno) -> Option<Publish> {
    let is_reached = !config.address.is_loopback() && !config.address.is_unspecified();
    (dyno.is_web() && is_reached).then_some(Publish {
        host: config.address,
        port: config.port,
    })
}

/// Clients without a window say 0.
pub(crate) const fn terminal_size(columns: u16, lines: u16) -> TtySize {
    TtySize {
        columns: if columns == 0 { 80 } else { columns },
        lines: if lines == 0 { 24 } else { lines },
    }
}

fn mounts(config: &Config, dirs: &Dirs) -> Vec<Mount> {
    let mut mounts = vec![Mount::Overlay {
        lower: dirs.slug.clone(),
        upper: dirs.upper.clone(),
        work: dirs.work.clone(),
        target: PathBuf::from("/app"),
    }];
    if let Some(bundle) = &config.ca_bundle {
        mounts.push(Mount::Bind {
            source: bundle.clone(),
            target: PathBuf::from(CA_BUNDLE),
            read_only: true,
        });
    }
    mounts
}
