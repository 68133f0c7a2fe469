//! Lists of what there is none of: clients ask in passing and want a list.

use axum::Json;
use serde_json::Value;

use crate::auth::Session;

pub(crate) async fn list(_: Session) -> Json<[Value; 0]> {
    Json([])
}
