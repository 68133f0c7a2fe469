//! Arguments of the verbs about nodes.

use std::time::Duration;

use clap::Args;
use controller_api::HostRole;

use super::JsonArgs;

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Name or id of the host, as `paas nodes` shows it
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NodeDrainArgs {
    /// Name or id of the host, as `paas nodes` shows it
    pub(crate) node: String,
    /// Do not wait for the dynos to have moved
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NodeRebalanceArgs {
    /// Do not wait until it is done
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Call it off; what has begun to move comes to its end
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) stop: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NodeTokenArgs {
    /// The most a host that joins may be, comma-separated: controller, builder, scheduler, router, node
    #[arg(long, value_delimiter = ',')]
    pub(crate) roles: Option<Vec<HostRole>>,
    /// How many hosts may join with it; one by default
    #[arg(long)]
    pub(crate) uses: Option<u32>,
    /// How long it is good for: 30m, 12h, 7d; an hour by default
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(crate) expires_in: Option<Duration>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NodeTagArgs {
    /// Name or id of the host, as `paas nodes` shows it
    pub(crate) node: String,
    /// `disk=ssd` sets a tag, `disk-` takes it away
    #[arg(required = true, value_name = "NAME=VALUE")]
    pub(crate) tags: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

fn span(text: &str) -> Result<Duration, String> {
    let parse = || {
        let unit = text.chars().next_back()?;
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            _ => return None,
        };
        number.checked_mul(seconds).map(Duration::from_secs)
    };
    parse().ok_or_else(|| "must be a number and s, m, h or d, such as 12h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604_800)] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "h", "12", "-1h", "1y", "99999999999999999999d", "1é"] {
            span(bad).unwrap_err();
        }
    }
}
