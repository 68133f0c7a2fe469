//! How the routers are, and what they say of an app's traffic.

use axum::Json;
use axum::extract::State;
use controller_api::wire;
use model::RouterReport;
use store::{Store, StoreError, key};

use crate::context::Ctx;
use crate::error::ApiResult;
use crate::guard::AppAccess;
use crate::views::router::{state, traffic};

pub(crate) async fn list(State(context): State<Ctx>) -> ApiResult<Json<wire::RoutersStatus>> {
    let store = context.store();
    let reports = reports(store).await?;
    let answers = context.routers.ask(&reports, "").await;
    let (hosts, routes) = (key::NODES.all(store).await?, key::ROUTES.all(store).await?);
    let mut routers: Vec<_> = reports
        .iter()
        .zip(answers)
        .map(|(report, answer)| state(report, answer, &routes, &hosts))
        .collect();
    routers.sort_by(|a, b| (&a.asked.host, a.asked.id).cmp(&(&b.asked.host, b.asked.id)));
    Ok(Json(wire::RoutersStatus {
        revision: store.status().await?.revision,
        routers,
    }))
}

pub(crate) async fn of_app(
    State(context): State<Ctx>,
    access: AppAccess,
) -> ApiResult<Json<wire::AppTraffic>> {
    let store = context.store();
    let reports = reports(store).await?;
    let what = format!("/apps/{}", access.app.value.id);
    let answers = context.routers.ask(&reports, &what).await;
    let hosts = key::NODES.all(store).await?;
    Ok(Json(traffic(&reports, answers, &hosts)))
}

async fn reports(store: &dyn Store) -> Result<Vec<RouterReport>, StoreError> {
    let reports = key::ALIVE_ROUTERS.all(store).await?;
    Ok(reports.into_iter().map(|seen| seen.value).collect())
}
