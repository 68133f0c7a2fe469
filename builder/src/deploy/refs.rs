//! Which of a push's ref updates deploys, if any: a pure rule.

use model::repository::{self, BuildSource, Code, Pushed};
use model::{AppId, BuildId, Pack};

use crate::git::repo::DEPLOY_BRANCHES;
use crate::hook::wire::RefUpdate;

/// The one ref update that deploys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deploy {
    /// `main` or `master`.
    pub(crate) branch: String,
    /// What the branch was when the push began.
    pub(crate) previous: Option<String>,
    pub(crate) commit: String,
    /// Tags that came along.
    pub(crate) tags: Vec<repository::RefUpdate>,
}

impl Deploy {
    /// What a builder has to know to go on with this, when the first one cannot.
    pub(crate) fn source(&self, app: AppId, build: BuildId, packs: Vec<Pack>) -> BuildSource {
        BuildSource {
            build,
            app,
            code: Code::Pushed(Pushed {
                branch: repository::RefUpdate {
                    name: self.branch_ref(),
                    old: self.previous.clone(),
                    new: self.commit.clone(),
                },
                tags: self.tags.clone(),
                packs,
            }),
            attempt: 1,
        }
    }

    pub(crate) fn of(pushed: &Pushed) -> Self {
        Self {
            branch: short(&pushed.branch.name).to_owned(),
            previous: pushed.branch.old.clone(),
            commit: pushed.branch.new.clone(),
            tags: pushed.tags.clone(),
        }
    }

    pub(crate) fn branch_ref(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// All objects that refs are to be at.
    pub(crate) fn objects(&self) -> Vec<String> {
        let tags = self.tags.iter().map(|tag| tag.new.clone());
        std::iter::once(self.commit.clone()).chain(tags).collect()
    }
}

/// The update to deploy, or the sentences that say what to do instead. Git takes or refuses a push whole, so one branch
/// too many refuses all. Tags may come along with a branch that deploys: many have git push them always.
pub(crate) fn decide(updates: &[RefUpdate]) -> Result<Deploy, Vec<String>> {
    let (deploying, others): (Vec<_>, Vec<_>) = updates.iter().partition(|update| {
        branch_of(update).is_some_and(|branch| DEPLOY_BRANCHES.contains(&branch))
    });
    if let Some(deleted) = updates.iter().find(|update| update.is_deletion()) {
        return Err(vec![
            format!(
                "{} cannot be deleted here: it is the record of what was deployed.",
                short(&deleted.name)
            ),
            "To remove the app with its source: paas apps:destroy".to_owned(),
        ]);
    }
    match deploying.as_slice() {
        [] => Err(refuse_others(&others)),
        [update] if others.iter().all(|other| is_tag(other)) => Ok(Deploy {
            branch: short(&update.name).to_owned(),
            previous: on_record(update).old,
            commit: update.new.clone(),
            tags: others.iter().map(|tag| on_record(tag)).collect(),
        }),
        [update] => {
            let branch = short(&update.name);
            Err(vec![
                format!(
                    "This push has {branch} and {}. Only {branch} can be deployed.",
                    count(&others)
                ),
                format!("Push it by itself: git push paas {branch}"),
            ])
        }
        _ => Err(vec![
            "This push has both main and master; which of them is to be deployed?".to_owned(),
            "Push one of them: git push paas main".to_owned(),
        ]),
    }
}

fn on_record(update: &RefUpdate) -> repository::RefUpdate {
    repository::RefUpdate {
        name: update.name.clone(),
        old: (!update.is_creation()).then(|| update.old.clone()),
        new: update.new.clone(),
    }
}

fn refuse_others(others: &[&RefUpdate]) -> Vec<String> {
    match others {
        [update] if is_tag(update) => vec![
            format!("Tags are not deployed, and {} is one.", short(&update.name)),
            format!(
                "To deploy what it names: git push paas {}^{{}}:main",
                short(&update.name)
            ),
        ],
        [update] => vec![
            format!(
                "Only main and master are deployed, and this push is of {}.",
                short(&update.name)
            ),
            "To deploy what you have checked out: git push paas HEAD:main".to_owned(),
        ],
        _ => vec![
            format!(
                "Only main and master are deployed, and this push has {}.",
                count(others)
            ),
            "To deploy what you have checked out: git push paas HEAD:main".to_owned(),
        ],
    }
}

fn count(others: &[&RefUpdate]) -> String {
    match others {
        [only] => short(&only.name).to_owned(),
        many => format!("{} other branches or tags", many.len()),
    }
}

fn branch_of(update: &RefUpdate) -> Option<&str> {
    update.name.strip_prefix("refs/heads/")
}

fn is_tag(update: &RefUpdate) -> bool {
    update.name.starts_with("refs/tags/")
}

/// A ref as people call it.
pub(crate) fn short(name: &str) -> &str {
    ["refs/heads/", "refs/tags/", "refs/"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn update(old: &str, new: &str, name: &str) -> RefUpdate {
        RefUpdate {
            old: old.to_owned(),
            new: new.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn main_and_master_deploy() {
        let first = decide(&[update(ZERO, ONE, "refs/heads/main")]).unwrap();
        assert_eq!(
            first,
            Deploy {
                branch: "main".into(),
                previous: None,
                commit: ONE.into(),
                tags: Vec::new(),
            }
        );
        let next = decide(&[update(ONE, TWO, "refs/heads/master")]).unwrap();
        assert_eq!(next.previous.as_deref(), Some(ONE));
    }

    #[test]
    fn tags_come_along_with_a_branch_that_deploys() {
        let tag = update(ZERO, TWO, "refs/tags/v1");
        let deploy = decide(&[tag, update(ZERO, ONE, "refs/heads/main")]).unwrap();
        assert_eq!(
            (deploy.branch.as_str(), deploy.commit.as_str()),
            ("main", ONE)
        );
        assert_eq!(deploy.objects(), [ONE, TWO]);
        let source = deploy.source(AppId::new(), BuildId::new(), Vec::new());
        let Code::Pushed(pushed) = source.code else {
            panic!("{source:?}")
        };
        assert_eq!(Deploy::of(&pushed), deploy);
    }

    #[test]
    fn everything_else_is_refused_with_what_to_do_instead() {
        for (updates, expected) in [
            (
                vec![update(ZERO, ONE, "refs/heads/feature")],
                "git push paas HEAD:main",
            ),
            (
                vec![update(ZERO, ONE, "refs/heads/feature/main")],
                "git push paas HEAD:main",
            ),
            (
                vec![update(ZERO, ONE, "refs/tags/v1")],
                "git push paas v1^{}:main",
            ),
            (
                vec![update(ONE, ZERO, "refs/heads/main")],
                "paas apps:destroy",
            ),
            (
                vec![update(ONE, ZERO, "refs/heads/feature")],
                "paas apps:destroy",
            ),
            (
                vec![
                    update(ZERO, ONE, "refs/heads/main"),
                    update(ZERO, ONE, "refs/heads/master"),
                ],
                "both main and master",
            ),
            (
                vec![
                    update(ZERO, ONE, "refs/heads/main"),
                    update(ZERO, ONE, "refs/heads/feature"),
                ],
                "git push paas main",
            ),
            (
                vec![
                    update(ZERO, ONE, "refs/notes/x"),
                    update(ZERO, ONE, "refs/tags/v1"),
                ],
                "2 other branches or tags",
            ),
        ] {
            let refusal = decide(&updates).unwrap_err().join("\n");
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}
