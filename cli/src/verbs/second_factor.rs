//! auth:2fa and auth:2fa:*: the code of a device that logging in takes besides the password.

use anyhow::{Context as _, Result};
use controller_api::ClientError;
use controller_api::wire::{
    RecoveryCodes, SecondFactorConfirm, SecondFactorEnrol, SecondFactorProof,
};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use crate::args::JsonArgs;
use crate::context::Context;
use crate::output::{Output, Paint};
use crate::terminal;

pub(crate) async fn show(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let factor = client.second_factor().await?;
    if args.json {
        return Ok(output.json(&factor)?);
    }
    if factor.enabled {
        output.line("Two-factor authentication is enabled")?;
        output.line(format!("{} recovery codes are left", factor.recovery_codes))?;
        return Ok(());
    }
    output.line("Two-factor authentication is not enabled")?;
    if factor.required {
        output.hint("The platform asks it of you. Enable it with `paas auth:2fa:enable`.")?;
    }
    Ok(())
}

pub(crate) async fn enable(context: &Context) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let password = terminal::ask_secret("Password: ")?.into();
    let begun = client
        .enrol_second_factor(&SecondFactorEnrol { password })
        .await?;
    output.line("Scan this with your authenticator app:\n")?;
    output.line(drawn(begun.otpauth_url.expose(), output.paint)?)?;
    output.line(format!(
        "\nOr type the secret: {}\n",
        in_groups(begun.secret.expose())
    ))?;
    let codes = loop {
        let code = terminal::ask("Code that the app shows: ")?.into();
        match client
            .confirm_second_factor(&SecondFactorConfirm { code })
            .await
        {
            // Mistyped, or too late: what was scanned is good all the same.
            Err(ClientError::Api(error)) if error.id == "two_factor" => {
                terminal::say(&error.message)?;
            }
            confirmed => break confirmed?,
        }
    };
    output.note("Two-factor authentication is enabled")?;
    show_recovery_codes(output, &codes)?;
    output.hint(
        "Tokens and SSH keys of before stay good without a code: `paas authorizations` and `paas keys` list them.",
    )?;
    Ok(())
}

pub(crate) async fn disable(context: &Context) -> Result<()> {
    let client = context.client()?;
    let proof = ask_proof()?;
    client.disable_second_factor(&proof).await?;
    Ok(context
        .output
        .note("Two-factor authentication is disabled")?)
}

pub(crate) async fn renew_recovery_codes(context: &Context) -> Result<()> {
    let client = context.client()?;
    let proof = ask_proof()?;
    let codes = client.renew_recovery_codes(&proof).await?;
    show_recovery_codes(&context.output, &codes)
}

fn ask_proof() -> Result<SecondFactorProof> {
    Ok(SecondFactorProof {
        password: terminal::ask_secret("Password: ")?.into(),
        code: terminal::ask_secret("Two-factor code: ")?.into(),
    })
}

fn show_recovery_codes(output: &Output, codes: &RecoveryCodes) -> Result<()> {
    output.line("Recovery codes:")?;
    for code in &codes.recovery_codes {
        output.line(format!("  {}", code.expose()))?;
    }
    output.hint(
        "They are not shown again. Keep them where the device is not: each lets you in once without it.",
    )?;
    Ok(())
}

/// Light on dark whatever the terminal's colours are, where it has any: that is how cameras like it.
fn drawn(text: &str, paint: Paint) -> Result<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .context("the platform sent what fits no QR code")?;
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Ok(match paint {
        Paint::Plain => image,
        Paint::Coloured => {
            let lines = image.lines();
            let lines: Vec<_> = lines
                .map(|line| format!("\x1b[97;40m{line}\x1b[0m"))
                .collect();
            lines.join("\n")
        }
    })
}

/// As people copy it: four at a time.
fn in_groups(secret: &str) -> String {
    let mut text = String::new();
    for (index, c) in secret.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push(' ');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_fits_a_terminal_of_eighty_columns() {
        let url = "otpauth://totp/apps.platform.example.com:somebody.with.a.long.name%40example.com?secret=\
                   GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=apps.platform.example.com";
        let image = drawn(url, Paint::Plain).unwrap();
        let widths: Vec<_> = image.lines().map(|line| line.chars().count()).collect();
        assert!(
            widths
                .iter()
                .all(|width| *width == widths[0] && *width <= 80)
        );
        assert!(image.lines().count() <= 40);
    }
}
