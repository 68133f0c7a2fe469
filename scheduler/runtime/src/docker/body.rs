//! Our words for a container and a network in Docker's.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount as DockerMount, MountTmpfsOptions,
    MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig, NetworkCreateRequest,
    PortBinding, ResourcesUlimits,
};
use bollard::models::{Ipam, IpamConfig};

use crate::{
    ContainerSpec, Limits, LogKeeping, Mount, NetworkSpec, Publish, RuntimeError, Terminal,
};

pub(super) fn create(spec: &ContainerSpec) -> Result<ContainerCreateBody, RuntimeError> {
    let (entrypoint, arguments) =
        spec.command
            .split_first()
            .ok_or_else(|| RuntimeError::Unsupported {
                reason: "a container needs a command".to_owned(),
            })?;
    let opens_input = spec.terminal != Terminal::None;
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        hostname: spec.hostname.clone(),
        user: Some(spec.user.clone()),
        working_dir: Some(spec.working_dir.clone()),
        entrypoint: Some(vec![entrypoint.clone()]),
        cmd: Some(arguments.to_vec()),
        env: Some(
            spec.env
                .iter()
                .map(|(name, value)| format!("{name}={}", value.expose()))
                .collect(),
        ),
        labels: Some(spec.labels.clone().into_iter().collect()),
        exposed_ports: spec.publish.map(|publish| vec![port_key(publish.port)]),
        tty: Some(matches!(spec.terminal, Terminal::Tty(_))),
        open_stdin: Some(opens_input),
        stdin_once: Some(opens_input),
        attach_stdin: Some(opens_input),
        attach_stdout: Some(opens_input),
        attach_stderr: Some(opens_input),
        host_config: Some(host(spec)?),
        ..Default::default()
    })
}

fn host(spec: &ContainerSpec) -> Result<HostConfig, RuntimeError> {
    let Limits {
        memory_bytes,
        cpu_shares,
        cpu_quota_millis,
        pids,
        ulimits,
        oom_score_adj,
        shm_bytes,
    } = &spec.limits;
    Ok(HostConfig {
        memory: memory_bytes.map(signed),
        memory_swap: memory_bytes.map(signed),
        cpu_shares: cpu_shares.map(i64::from),
        nano_cpus: cpu_quota_millis.map(|millis| i64::from(millis) * 1_000_000),
        pids_limit: Some(i64::from(*pids)),
        ulimits: Some(
            ulimits
                .iter()
                .map(|limit| ResourcesUlimits {
                    name: Some(limit.name.clone()),
                    soft: Some(signed(limit.soft)),
                    hard: Some(signed(limit.hard)),
                })
                .collect(),
        ),
        oom_score_adj: Some(i64::from(*oom_score_adj)),
        shm_size: shm_bytes.map(signed),
        init: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        network_mode: Some(spec.network.clone().unwrap_or_else(|| "none".to_owned())),
        port_bindings: spec.publish.map(bindings),
        log_config: Some(log_config(spec.logs)),
        mounts: Some(spec.mounts.iter().map(mount).collect::<Result<_, _>>()?),
        console_size: match spec.terminal {
            Terminal::Tty(size) => Some(vec![usize::from(size.lines), usize::from(size.columns)]),
            Terminal::None | Terminal::Pipes => None,
        },
        ..Default::default()
    })
}

/// Docker's name for a TCP port of a container.
pub(super) fn port_key(port: u16) -> String {
    format!("{port}/tcp")
}

fn bindings(publish: Publish) -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = PortBinding {
        host_ip: Some(publish.host.to_string()),
        // Any free one.
        host_port: Some("0".to_owned()),
    };
    HashMap::from([(port_key(publish.port), Some(vec![binding]))])
}

fn log_config(logs: LogKeeping) -> HostConfigLogConfig {
    match logs {
        LogKeeping::Files {
            max_bytes_each,
            count,
        } => HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), max_bytes_each.to_string()),
                ("max-file".to_owned(), count.to_string()),
            ])),
        },
        LogKeeping::Off => HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        },
    }
}

fn mount(mount: &Mount) -> Result<DockerMount, RuntimeError> {
    Ok(match mount {
        Mount::Bind {
            source,
            target,
            read_only,
        } => DockerMount {
            typ: Some(MountType::BIND),
            source: Some(text(source)?),
            target: Some(text(target)?),
            read_only: Some(*read_only),
            ..Default::default()
        },
        Mount::Overlay {
            lower,
            upper,
            work,
            target,
        } => DockerMount {
            typ: Some(MountType::VOLUME),
            target: Some(text(target)?),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true),
                driver_config: Some(MountVolumeOptionsDriverConfig {
                    name: Some("local".to_owned()),
                    options: Some(overlay_options(lower, upper, work)?),
                }),
                ..Default::default()
            }),
            ..Default::default()
        },
        Mount::Tmpfs { target, max_bytes } => DockerMount {
            typ: Some(MountType::TMPFS),
            target: Some(text(target)?),
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: Some(signed(*max_bytes)),
                mode: Some(0o1777),
                ..Default::default()
            }),
            ..Default::default()
        },
    })
}

/// Docker's `local` volume driver mounts any file system; the volume has no name, so it goes with the container.
fn overlay_options(
    lower: &Path,
    upper: &Path,
    work: &Path,
) -> Result<HashMap<String, String>, RuntimeError> {
    let [lower, upper, work] = [lower, upper, work].map(|path| {
        let path = text(path)?;
        if path.contains([',', ':', '\\']) {
            return Err(RuntimeError::Unsupported {
                reason: format!("an overlay at {path}: `,` and `:` part paths"),
            });
        }
        Ok(path)
    });
    Ok(HashMap::from([
        ("type".to_owned(), "overlay".to_owned()),
        ("device".to_owned(), "overlay".to_owned()),
        (
            "o".to_owned(),
            format!(
                "nosuid,nodev,lowerdir={},upperdir={},workdir={}",
                lower?, upper?, work?
            ),
        ),
    ]))
}

pub(super) fn network(network: &NetworkSpec) -> NetworkCreateRequest {
    let options = [
        ("com.docker.network.bridge.name", network.bridge.as_str()),
        ("com.docker.network.bridge.enable_icc", "false"),
        ("com.docker.network.bridge.enable_ip_masquerade", "true"),
    ];
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: Some("bridge".to_owned()),
        options: Some(
            options
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ),
        labels: Some(network.labels.clone().into_iter().collect()),
        ipam: network.subnet.as_ref().map(|subnet| Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.clone()),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn text(path: &Path) -> Result<String, RuntimeError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| RuntimeError::Unsupported {
            reason: format!("a path that is not UTF-8: {}", path.display()),
        })
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ContainerSpec {
        ContainerSpec::new(
            "c",
            "image",
            vec!["/bin/echo".to_owned(), "it's; $(fine)".to_owned()],
        )
    }

    #[test]
    fn every_container_is_confined() {
        let host = create(&spec()).unwrap().host_config.unwrap();
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(
            host.security_opt,
            Some(vec!["no-new-privileges:true".to_owned()])
        );
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(
            (host.init, host.pids_limit, host.privileged),
            (Some(true), Some(256), None)
        );
    }

    #[test]
    fn only_what_is_asked_for_is_published_and_only_at_the_address_given() {
        let published = |spec: &ContainerSpec| create(spec).unwrap().host_config.unwrap();
        assert_eq!(published(&spec()).port_bindings, None);
        let host = published(&ContainerSpec {
            publish: Some(Publish {
                host: "10.0.0.7".parse().unwrap(),
                port: 5000,
            }),
            ..spec()
        });
        let bindings = host.port_bindings.unwrap();
        let binding = &bindings["5000/tcp"].as_ref().unwrap()[0];
        assert_eq!(bindings.len(), 1);
        assert_eq!(binding.host_ip.as_deref(), Some("10.0.0.7"));
        assert_eq!(binding.host_port.as_deref(), Some("0"));
    }

    #[test]
    fn the_command_stays_an_argument_vector() {
        let body = create(&spec()).unwrap();
        assert_eq!(body.entrypoint, Some(vec!["/bin/echo".to_owned()]));
        assert_eq!(body.cmd, Some(vec!["it's; $(fine)".to_owned()]));
    }

    #[test]
    fn swap_is_no_way_around_the_memory_limit() {
        let mut spec = spec();
        spec.limits.memory_bytes = Some(1 << 20);
        let host = create(&spec).unwrap().host_config.unwrap();
        assert_eq!(
            (host.memory, host.memory_swap),
            (Some(1 << 20), Some(1 << 20))
        );
    }

    #[test]
    fn an_overlay_path_cannot_smuggle_in_options() {
        let overlay = |upper: &str| {
            overlay_options(Path::new("/lower"), Path::new(upper), Path::new("/work"))
                .map(|options| options["o"].clone())
        };
        assert_eq!(
            overlay("/upper").unwrap(),
            "nosuid,nodev,lowerdir=/lower,upperdir=/upper,workdir=/work"
        );
        assert!(overlay("/upper,lowerdir=/etc").is_err());
        assert!(overlay("/upper:/etc").is_err());
    }
}
