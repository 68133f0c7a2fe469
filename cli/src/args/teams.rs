//! Options of the verbs about teams and who is in them, and of those that may be about a team's apps.

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use controller_api::wire::TeamRole;

use super::JsonArgs;

pub(super) const MEMBER_ADD_EXAMPLES: &str = "\
Roles, each with what those before it may do:
  viewer  sees the team's apps that are not locked
  member  makes apps for the team, and joins those that are not locked
  admin   does everything with every app, and says who is in the team

Examples:
  $ paas members:add bob@example.com --team acme --role member
  $ paas members:add ann@example.com -t acme -r admin";

/// Which team a verb is about.
#[derive(Debug, Args)]
pub(crate) struct TeamArgs {
    /// Team to act on
    #[arg(
        short,
        long,
        env = "PAAS_TEAM",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(crate) team: String,
}

/// Whether a verb is about a team's things rather than about one's own.
#[derive(Debug, Args)]
pub(crate) struct ForTeamArgs {
    /// Team to act for, in place of yourself
    #[arg(short, long, env = "PAAS_TEAM", hide_env_values = true)]
    team: Option<String>,
}

impl ForTeamArgs {
    /// An empty `PAAS_TEAM` is how somebody says that this once it is none.
    pub(crate) fn name(&self) -> Option<&str> {
        self.team.as_deref().filter(|team| !team.is_empty())
    }
}

#[derive(Debug, Args)]
pub(crate) struct TeamCreateArgs {
    /// Name of the new team
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct TeamInfoArgs {
    /// Team to show
    #[arg(
        env = "PAAS_TEAM",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(crate) team: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TeamRenameArgs {
    /// Team to rename
    pub(crate) team: String,
    /// Its new name
    pub(crate) new_name: String,
}

#[derive(Debug, Args)]
pub(crate) struct TeamDestroyArgs {
    /// Team to destroy
    pub(crate) team: String,
    /// The team's name once more; without it you are asked
    #[arg(short, long, value_name = "TEAM")]
    pub(crate) confirm: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    pub(crate) team: TeamArgs,
    /// Only those who have this role
    #[arg(short, long, value_parser = role())]
    pub(crate) role: Option<TeamRole>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MemberSetArgs {
    /// E-mail address of the person
    pub(crate) email: String,
    #[command(flatten)]
    pub(crate) team: TeamArgs,
    /// What they are to the team
    #[arg(short, long, value_parser = role())]
    pub(crate) role: TeamRole,
}

#[derive(Debug, Args)]
pub(crate) struct MemberArgs {
    /// E-mail address of the person
    pub(crate) email: String,
    #[command(flatten)]
    pub(crate) team: TeamArgs,
}

fn role() -> impl TypedValueParser<Value = TeamRole> {
    PossibleValuesParser::new(TeamRole::ALL.map(TeamRole::as_str))
        .try_map(|role| role.parse::<TeamRole>())
}
