//! certs, certs:add, certs:update, certs:remove, certs:info, and the platform's: certificates that somebody brings.

use std::fmt::Display;

use anyhow::Result;
use controller_api::wire::{CertificateUpload, PlatformCertificate, SniEndpoint};

use crate::args::{
    AppJson, CertAddArgs, CertArgs, CertFiles, CertUpdateArgs, JsonArgs, PlatformCertSetArgs,
};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Colour, Table, clock};

pub(crate) async fn list(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let endpoints = context.client()?.sni_endpoints(&app).await?;
    if args.json.json {
        return Ok(output.json(&endpoints)?);
    }
    if endpoints.is_empty() {
        output.note(format!(
            "{} has no certificates. Add one with: paas certs:add CRT KEY",
            output.app(&app)
        ))?;
        return Ok(());
    }
    let mut table = Table::new();
    let titles = [
        "Name",
        "Host Names",
        "Expires",
        "Trusted",
        "Type",
        "Domains",
    ];
    table.row(titles.map(|title| output.paint.in_colour(Colour::Bold, title)));
    for endpoint in &endpoints {
        let certificate = &endpoint.ssl_cert;
        table.row([
            endpoint.name.clone(),
            names(certificate.cert_domains.iter()),
            clock(certificate.expires_at.0),
            if certificate.ca_signed {
                "True"
            } else {
                "False"
            }
            .to_owned(),
            kind(endpoint).to_owned(),
            endpoint.domains.len().to_string(),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn add(context: &Context, args: &CertAddArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let upload = read(&args.files)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Adding a certificate to {}", output.app(&app)));
    let added = client.add_certificate(&app, &upload).await?;
    action.done();
    show(context, &app, &added, args.json).await
}

pub(crate) async fn update(context: &Context, args: &CertUpdateArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let upload = read(&args.files)?;
    let (client, output) = (context.client()?, &context.output);
    let name = one(context, &app, args.name.as_deref()).await?;
    let action = output.action(format!(
        "Updating certificate {name} of {}",
        output.app(&app)
    ));
    let changed = client.update_certificate(&app, &name, &upload).await?;
    action.done();
    show(context, &app, &changed, args.json).await
}

pub(crate) async fn remove(context: &Context, args: &CertArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let name = one(context, &app, args.name.as_deref()).await?;
    let action = output.action(format!(
        "Removing certificate {name} from {}",
        output.app(&app)
    ));
    let removed = client.remove_certificate(&app, &name).await?;
    action.done();
    if args.json.json {
        output.json(&removed)?;
    }
    Ok(())
}

pub(crate) async fn info(context: &Context, args: &CertArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let name = one(context, &app, args.name.as_deref()).await?;
    let endpoint = context.client()?.sni_endpoint(&app, &name).await?;
    show(context, &app, &endpoint, args.json).await
}

pub(crate) async fn platform(context: &Context, args: JsonArgs) -> Result<()> {
    let certificate = context.client()?.platform_certificate().await?;
    show_platforms(context, &certificate, args)
}

pub(crate) async fn set_platform(context: &Context, args: &PlatformCertSetArgs) -> Result<()> {
    let upload = read(&args.files)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action("Setting the platform's certificate");
    let set = client.set_platform_certificate(&upload).await?;
    action.done();
    show_platforms(context, &set, args.json)
}

/// The certificate that is named, or the only one there is.
async fn one(context: &Context, app: &str, name: Option<&str>) -> Result<String> {
    if let Some(name) = name {
        return Ok(name.to_owned());
    }
    let mut endpoints = context.client()?.sni_endpoints(app).await?;
    match endpoints.len() {
        1 => Ok(endpoints.remove(0).name),
        0 => Err(Failure::new(format!("{app} has no certificates"))
            .advise("Add one with: paas certs:add CRT KEY")
            .into()),
        _ => Err(Failure::usage(format!(
            "{app} has several certificates; name one with --name"
        ))
        .advise("List them with: paas certs")
        .into()),
    }
}

fn read(files: &CertFiles) -> Result<CertificateUpload> {
    Ok(CertificateUpload {
        certificate_chain: fs_err::read_to_string(&files.certificate)?,
        private_key: fs_err::read_to_string(&files.key)?.into(),
    })
}

async fn show(context: &Context, app: &str, endpoint: &SniEndpoint, json: JsonArgs) -> Result<()> {
    let output = &context.output;
    if json.json {
        return Ok(output.json(endpoint)?);
    }
    let certificate = &endpoint.ssl_cert;
    let domains = context.client()?.domains(app).await?;
    let served = domains
        .iter()
        .filter(|domain| endpoint.domains.contains(&domain.id))
        .map(|domain| &domain.hostname);
    let served = names(served);
    let mut table = Table::new();
    for (title, text) in [
        ("Name", endpoint.name.clone()),
        ("Type", kind(endpoint).to_owned()),
        ("Host Names", names(certificate.cert_domains.iter())),
        ("Serves", served),
        ("Subject", certificate.subject.clone()),
        ("Issuer", certificate.issuer.clone()),
        ("Starts At", clock(certificate.starts_at.0)),
        ("Expires At", clock(certificate.expires_at.0)),
        ("SHA-256", certificate.fingerprint.to_string()),
    ] {
        table.row([format!("{title}:"), text]);
    }
    output.table(&table)?;
    if certificate.self_signed {
        output.note("It is self-signed: clients trust it only if they are told to.")?;
    }
    Ok(())
}

fn show_platforms(
    context: &Context,
    certificate: &PlatformCertificate,
    json: JsonArgs,
) -> Result<()> {
    let output = &context.output;
    if json.json {
        return Ok(output.json(certificate)?);
    }
    let mut table = Table::new();
    for (title, text) in [
        ("Host Names", names(certificate.names.iter())),
        ("Subject", certificate.subject.clone()),
        ("Issuer", certificate.issuer.clone()),
        ("Starts At", clock(certificate.starts_at.0)),
        ("Expires At", clock(certificate.expires_at.0)),
        ("SHA-256", certificate.fingerprint.to_string()),
    ] {
        table.row([format!("{title}:"), text]);
    }
    Ok(output.table(&table)?)
}

const fn kind(endpoint: &SniEndpoint) -> &'static str {
    if endpoint.ssl_cert.acm { "ACM" } else { "SNI" }
}

fn names(names: impl Iterator<Item = impl Display>) -> String {
    let names: Vec<_> = names.map(|name| name.to_string()).collect();
    names.join(", ")
}
