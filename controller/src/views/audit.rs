//! Entries of the audit log.

use controller_api::wire;
use model::audit::{Deed, DeedEnd};

use super::user_ref;

pub(crate) fn entry(block: u64, deed: Deed, end: Option<DeedEnd>) -> wire::AuditEntry {
    let status = end.as_ref().map(|end| end.status);
    wire::AuditEntry {
        action: deed.what,
        block,
        actor: user_ref(&deed.actor),
        app: deed.app.map(|app| wire::AppRef {
            id: app.id,
            name: app.name,
        }),
        created_at: deed.at.into(),
        details: end.map(|end| end.details).filter(|text| !text.is_empty()),
        from: deed.from,
        id: deed.id,
        parameters: deed.parameters,
        status,
        token: deed.token.map(|id| wire::IdRef { id }),
    }
}
