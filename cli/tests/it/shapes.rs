//! Objects as the Platform API sends them.

use serde_json::{Value, json};

pub(crate) const AT: &str = "2026-11-22T13:24:10Z";

fn id(number: u64) -> String {
    format!("01234567-89ab-4def-8123-{number:012x}")
}

fn named(name: &str) -> Value {
    json!({ "id": id(7), "name": name })
}

pub(crate) fn user(email: &str) -> Value {
    json!({ "id": id(1), "email": email })
}

pub(crate) fn account() -> Value {
    json!({
        "allow_tracking": false, "beta": false, "country_of_residence": null, "created_at": AT,
        "default_organization": null, "default_team": null, "delinquent_at": null, "email": "me@example.com",
        "federated": false, "id": id(1), "identity_provider": null, "last_login": null, "name": null,
        "sms_number": null, "suspended_at": null, "two_factor_authentication": false, "updated_at": AT, "verified": true,
    })
}

pub(crate) fn app(name: &str) -> Value {
    json!({
        "acm": false, "archived_at": null, "build_stack": named("heroku-24"), "buildpack_provided_description": null,
        "created_at": AT, "generation": named("cedar"), "git_url": format!("https://git.paas.localhost:8443/{name}.git"),
        "id": id(2), "internal_routing": null, "maintenance": false, "name": name, "organization": null,
        "owner": user("me@example.com"), "region": named("us"), "released_at": AT, "repo_size": 0, "slug_size": 12345678,
        "space": null, "stack": named("heroku-24"), "team": null, "updated_at": AT,
        "web_url": format!("https://{name}.paas.localhost:8443/"),
    })
}

pub(crate) fn team(name: &str) -> Value {
    json!({
        "created_at": AT, "credit_card_collections": false, "default": false, "enterprise_account": null, "id": id(1500),
        "identity_provider": null, "membership_limit": 500, "name": name, "provisioned_licenses": false, "role": "admin",
        "type": "team", "updated_at": AT,
    })
}

pub(crate) fn team_member(email: &str, role: &str) -> Value {
    json!({
        "created_at": AT, "email": email, "federated": false, "id": id(1600), "identity_provider": null, "role": role,
        "two_factor_authentication": false, "updated_at": AT, "user": { "email": email, "id": id(1), "name": null },
    })
}

/// One of the team acme.
pub(crate) fn team_app(name: &str) -> Value {
    let mut app = app(name);
    app["team"] = json!({ "id": id(1500), "name": "acme" });
    app["owner"] = json!({ "id": id(1500), "email": "acme@herokumanager.com" });
    app["joined"] = false.into();
    app["locked"] = false.into();
    app
}

pub(crate) fn drain(url: &str) -> Value {
    json!({
        "addon": null, "app": app_ref(), "created_at": AT, "id": id(8), "token": format!("d.{}", id(9)), "updated_at": AT,
        "url": url,
    })
}

fn app_ref() -> Value {
    json!({ "id": id(2), "name": "myapp" })
}

pub(crate) fn release(version: u64, status: &str, description: &str) -> Value {
    json!({
        "addon_plan_names": [], "app": app_ref(), "artifacts": [], "created_at": AT, "current": false,
        "description": description, "eligible_for_rollback": status == "succeeded", "id": id(100 + version),
        "output_stream_url": null, "slug": null, "status": status, "updated_at": AT,
        "user": user("me@example.com"), "version": version,
    })
}

pub(crate) fn current(mut release: Value) -> Value {
    release["current"] = true.into();
    release
}

/// `number` tells dynos of the same name apart.
pub(crate) fn dyno(name: &str, number: u64, state: &str) -> Value {
    let process_type = name.split('.').next().unwrap();
    json!({
        "app": app_ref(), "attach_url": null, "command": format!("run-{process_type}"), "created_at": AT,
        "id": id(200 + number), "name": name, "release": { "id": id(104), "version": 4 }, "size": "Standard-1X",
        "state": state, "type": process_type, "updated_at": AT,
    })
}

pub(crate) fn attachable(name: &str) -> Value {
    let mut dyno = dyno(name, 1, "starting");
    dyno["attach_url"] = "rendezvous://api.paas.localhost:5000/0123456789abcdef".into();
    dyno
}

pub(crate) fn formation(process_type: &str, quantity: u32) -> Value {
    json!({
        "app": app_ref(), "command": format!("run-{process_type}"), "created_at": AT, "dyno_size": named("Standard-1X"),
        "id": id(300), "quantity": quantity, "size": "Standard-1X", "type": process_type, "updated_at": AT,
    })
}

pub(crate) fn domain(kind: &str, hostname: &str, cname: Option<&str>) -> Value {
    json!({
        "acm_status": null, "acm_status_reason": null, "app": app_ref(), "cname": cname, "created_at": AT,
        "hostname": hostname, "id": id(400), "kind": kind, "sni_endpoint": null, "status": "succeeded", "updated_at": AT,
    })
}

pub(crate) fn endpoint(name: &str, domains: &[u64]) -> Value {
    let domains: Vec<_> = domains.iter().map(|number| id(*number)).collect();
    json!({
        "app": app_ref(), "certificate_chain": "PEM", "created_at": AT, "display_name": null, "domains": domains,
        "id": id(450), "name": name, "updated_at": AT,
        "ssl_cert": {
            "acm": false, "ca_signed?": true, "cert_domains": ["*.example.com"], "expires_at": AT,
            "fingerprint": "ab".repeat(32), "id": id(450), "issuer": "CN=Issuer", "self_signed?": false, "starts_at": AT,
            "subject": "CN=example.com",
        },
    })
}

pub(crate) fn buildpacks(urls: &[&str]) -> Value {
    let installation = |(ordinal, url): (usize, &&str)| json!({ "buildpack": { "url": url, "name": url }, "ordinal": ordinal });
    urls.iter().enumerate().map(installation).collect()
}

pub(crate) fn key(comment: &str) -> Value {
    json!({
        "comment": comment, "created_at": AT, "email": "me@example.com", "fingerprint": format!("SHA256:{comment}"),
        "id": id(500), "public_key": format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHQy0Bq8n7 {comment}"), "updated_at": AT,
    })
}

pub(crate) fn collaborator(email: &str, role: &str) -> Value {
    json!({
        "app": app_ref(), "created_at": AT, "id": id(600), "permissions": [], "role": role, "updated_at": AT,
        "user": { "email": email, "federated": false, "id": id(1) },
    })
}

pub(crate) fn node() -> Value {
    json!({
        "address": "10.0.0.7", "cordoned": false, "cpus": 4, "draining": false, "dynos": 3, "id": id(700), "joined_at": AT,
        "memory_bytes": 8_000_000_000_u64, "memory_reserved_bytes": 1_500_000_000_u64, "name": "node-1",
        "roles": ["router", "node"], "state": "up",
        "tags": { "disk": "ssd" }, "version": "0.1.0", "zone": "a",
    })
}

pub(crate) fn authorization(token: &str) -> Value {
    json!({
        "access_token": { "expires_in": 1, "id": id(800), "token": token }, "client": null, "created_at": AT,
        "description": "x", "grant": null, "id": id(801), "refresh_token": null, "scope": ["global"], "session": null,
        "updated_at": AT, "user": { "id": id(1), "email": "me@example.com", "full_name": null },
    })
}

pub(crate) fn log_session(url: &str) -> Value {
    json!({ "created_at": AT, "id": id(900), "logplex_url": url, "updated_at": AT })
}

pub(crate) fn build(number: u64, status: &str, output_url: &str) -> Value {
    json!({
        "app": { "id": id(2) }, "buildpacks": null, "created_at": format!("2026-11-22T13:24:{number:02}Z"),
        "generation": "cedar", "id": id(1000 + number), "output_stream_url": output_url, "release": null, "slug": null,
        "source_blob": { "checksum": null, "url": "x", "version": "0123456789abcdef", "version_description": null },
        "stack": "heroku-24", "status": status, "updated_at": AT, "user": user("me@example.com"),
    })
}

pub(crate) fn webhook(url: &str) -> Value {
    json!({
        "app": app_ref(), "created_at": AT, "id": id(1100), "include": ["api:build", "api:release"], "level": "sync",
        "updated_at": AT, "url": url,
    })
}

pub(crate) fn webhook_delivery(number: u64, status: &str, attempt: Value) -> Value {
    json!({
        "created_at": AT, "event": { "id": id(1300), "include": "api:release" }, "id": id(1200 + number),
        "last_attempt": attempt, "next_attempt_at": if status == "retrying" { AT.into() } else { Value::Null },
        "num_attempts": u32::from(status != "pending"), "status": status, "updated_at": AT,
        "webhook": { "id": id(1100), "level": "sync" },
    })
}

pub(crate) fn webhook_attempt(code: Option<u16>, error_class: Option<&str>) -> Value {
    json!({
        "code": code, "created_at": AT, "error_class": error_class, "id": id(1400),
        "status": if error_class.is_some() { "failed" } else { "succeeded" }, "updated_at": AT,
    })
}

pub(crate) fn webhook_event() -> Value {
    json!({
        "created_at": AT, "id": id(1300), "include": "api:release", "updated_at": AT,
        "payload": {
            "action": "create", "actor": user("me@example.com"), "data": { "version": 4 }, "previous_data": {},
            "resource": "release", "version": "application/vnd.heroku+json; version=3",
        },
    })
}

/// The same for the same name.
fn id_of(name: &str) -> String {
    let bytes = name.bytes().map(u64::from);
    id(10_000 + bytes.fold(0, |sum, byte| (sum * 31 + byte) % 1_000_000))
}

fn price(cents: u64) -> Value {
    json!({ "cents": cents, "contract": false, "unit": "month" })
}

pub(crate) fn addon_service(name: &str) -> Value {
    json!({
        "cli_plugin_name": null, "created_at": AT, "human_name": "Acme Postgres", "id": id_of(name), "name": name,
        "state": "ga", "supported_generations": [named("cedar")], "supports_multiple_installations": true,
        "supports_sharing": true, "updated_at": AT,
    })
}

/// One of acme-pg.
pub(crate) fn plan(name: &str, cents: u64) -> Value {
    json!({
        "addon_service": named("acme-pg"), "compliance": null, "created_at": AT, "default": cents == 0,
        "description": "", "human_name": name.to_uppercase(), "id": id_of(name),
        "installable_inside_private_network": false, "installable_outside_private_network": true,
        "name": format!("acme-pg:{name}"), "price": price(cents), "space_default": false, "state": "public",
        "updated_at": AT, "visible": true,
    })
}

/// One of acme-pg's.
pub(crate) fn addon(name: &str, app: &str, state: &str) -> Value {
    json!({
        "actions": [], "addon_service": named("acme-pg"), "app": { "id": id_of(app), "name": app },
        "billed_price": price(500), "billing_entity": { "id": id_of(app), "name": app, "type": "app" },
        "config_vars": ["DATABASE_HOST", "DATABASE_URL"], "created_at": AT, "id": id_of(name), "name": name,
        "plan": named("acme-pg:dev"), "provider_id": "7", "state": state, "updated_at": AT, "web_url": null,
    })
}

/// `of`: the add-on, and the app that it was made for.
pub(crate) fn addon_attachment(name: &str, of: (&str, &str), app: &str) -> Value {
    json!({
        "addon": { "app": { "id": id_of(of.1), "name": of.1 }, "id": id_of(of.0), "name": of.0 },
        "app": { "id": id_of(app), "name": app }, "created_at": AT, "id": id_of(&format!("{name} of {app}")),
        "log_input_url": null, "name": name, "namespace": null, "updated_at": AT, "web_url": null,
    })
}
