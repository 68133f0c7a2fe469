//! Who this host is: an id made once and kept in the data directory.

use std::path::Path;

use anyhow::Context as _;
use model::{NodeId, RouterId};

/// Written whole or not at all, so that a crash cannot leave half an id.
pub(crate) fn node_id(data_dir: &Path) -> anyhow::Result<NodeId> {
    let path = data_dir.join("node.id");
    if !path.exists() {
        let temporary = data_dir.join("node.id.new");
        fs_err::write(&temporary, format!("{}\n", NodeId::new()))?;
        fs_err::rename(&temporary, &path)?;
    }
    let text = fs_err::read_to_string(&path)?;
    text.trim().parse().with_context(|| {
        format!(
            "{} does not hold an id; remove it to get a new one",
            path.display()
        )
    })
}

/// The host's router has the host's id: a restarted router takes over its own report at once.
pub(crate) fn router_id(node: NodeId) -> RouterId {
    RouterId::from_uuid(node.as_uuid())
}

/// What the machine calls itself.
pub(crate) fn host_name() -> String {
    let name = fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "node".to_owned(),
        name => name.to_owned(),
    }
}
