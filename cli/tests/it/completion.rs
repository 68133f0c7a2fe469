//! What the shells complete: the shells themselves, where they are installed, with the scripts that paas prints.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::{Cli, program};
use super::run_pipes::eventually;
use super::run_terminal::Terminal;
use super::shapes::{addon, addon_attachment, addon_service, app, formation, plan, team};

impl Cli {
    /// What a script is answered that asks for completion of this line.
    fn completes(&self, line: &str) -> Vec<String> {
        let outcome = self.paas(&["__complete", "bash", line, " \t\n\"'><=;|&(:"]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
        outcome.stdout.lines().map(str::to_owned).collect()
    }

    fn kept_names(&self) -> std::path::PathBuf {
        self.home.path().join(".config/paas/config.completion.json")
    }
}

fn with_apps() -> Cli {
    let cli = Cli::new();
    cli.stub
        .on(
            "GET /users/~/apps",
            json!([app("shop"), app("shop-staging"), app("blog")]),
        )
        .on(
            "GET /apps/shop/formation",
            json!([formation("web", 1), formation("worker", 1)]),
        )
        .on("GET /teams", json!([team("acme"), team("zoo")]));
    cli
}

/// Where `paas` is the built program.
fn with_apps_on_path() -> Cli {
    let mut cli = with_apps();
    let directory = cli.home.path().join("bin");
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::symlink(program(), directory.join("paas")).unwrap();
    let path = std::env::var("PATH").unwrap();
    cli.set("PATH", &format!("{}:{path}", directory.display()));
    cli
}

#[test]
fn verbs_with_colons_options_apps_and_process_types_are_completed() {
    let cli = with_apps();
    assert_eq!(cli.completes("paas ps:sc"), ["scale "]);
    assert_eq!(cli.completes("paas releases:roll"), ["rollback "]);
    assert_eq!(cli.completes("paas logs --ta"), ["--tail "]);
    assert_eq!(cli.completes("paas ps -a sh"), ["shop ", "shop-staging "]);
    assert_eq!(cli.completes("paas ps --app=b"), ["blog "]);
    assert_eq!(cli.completes("paas info b"), ["blog "]);
    assert_eq!(
        cli.completes("paas ps:scale -a shop w"),
        ["web=", "worker="]
    );
    assert_eq!(cli.completes("paas members -t a"), ["acme "]);
    assert_eq!(cli.completes("paas apps:transfer "), ["acme ", "zoo "]);
    assert_eq!(cli.completes("paas members:set x -r v"), ["viewer "]);
    assert_eq!(cli.completes("paas nosuch "), Vec::<String>::new());
}

#[test]
fn services_plans_add_ons_and_attachments_are_completed() {
    let cli = with_apps();
    cli.stub
        .on("GET /addon-services", json!([addon_service("acme-pg")]))
        .on(
            "GET /addon-services/acme-pg/plans",
            json!([plan("dev", 0), plan("mini", 500)]),
        )
        .on(
            "GET /addons",
            json!([addon("other-db", "other", "provisioned")]),
        )
        .on(
            "GET /apps/shop/addons",
            json!([addon("shop-db", "shop", "provisioned")]),
        )
        .on(
            "GET /apps/shop/addon-attachments",
            json!([addon_attachment("DATABASE", ("shop-db", "shop"), "shop")]),
        );
    assert_eq!(cli.completes("paas addons:plans "), ["acme-pg "]);
    // Bash has what comes before the colon already.
    assert_eq!(
        cli.completes("paas addons:create acme-pg:"),
        ["dev ", "mini "]
    );
    assert_eq!(cli.completes("paas create --addons acme-pg:m"), ["mini "]);
    for verb in ["info", "open", "destroy", "rename", "upgrade", "wait"] {
        let line = format!("paas addons:{verb} -a shop ");
        assert_eq!(cli.completes(&line), ["shop-db "], "{verb}");
    }
    assert_eq!(cli.completes("paas addons:info "), ["other-db "]);
    assert_eq!(cli.completes("paas addons:attach -a shop "), ["other-db "]);
    assert_eq!(cli.completes("paas addons:detach -a shop D"), ["DATABASE "]);
}

#[test]
fn names_are_asked_for_once_and_are_for_the_owner_of_the_login_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut cli = with_apps();
    cli.completes("paas ps -a ");
    cli.completes("paas ps -a s");
    assert_eq!(cli.stub.seen("GET /users/~/apps").len(), 1);
    let mode = std::fs::metadata(cli.kept_names())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = std::fs::read_to_string(cli.kept_names()).unwrap();
    assert!(!kept.contains(super::stub::TOKEN), "{kept}");
    // Somebody else is not shown them.
    cli.set("PAAS_API_KEY", "another");
    assert_eq!(cli.completes("paas ps -a "), Vec::<String>::new());
}

#[test]
fn a_platform_that_does_not_answer_costs_less_than_a_second_and_is_then_spared() {
    let mut cli = with_apps();
    // It takes connections, and that is all.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    deaf.set_nonblocking(true).unwrap();
    cli.set(
        "PAAS_API_URL",
        &format!("http://{}", deaf.local_addr().unwrap()),
    );
    let began = Instant::now();
    assert_eq!(cli.completes("paas ps -a "), Vec::<String>::new());
    // The deadline is 0.7 s; the rest is for a machine that has other things to do.
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert!(deaf.accept().is_ok(), "it was asked");
    while deaf.accept().is_ok() {}
    assert_eq!(cli.completes("paas ps -a "), Vec::<String>::new());
    assert!(deaf.accept().is_err(), "it was not asked again");
    // Nor is there a word where nobody is logged in.
    cli.unset("PAAS_API_URL");
    cli.unset("PAAS_API_KEY");
    assert_eq!(cli.completes("paas ps -a "), Vec::<String>::new());
}

/// Types each line into the shell, and what the shell makes of it; `None` where there is no such shell.
fn typed(cli: &Cli, shell: &[&str], start: &str, lines: &[&str]) -> Option<Vec<String>> {
    let there = cli.command(shell[0]).arg("-c").arg(":").status();
    if there.is_err() {
        eprintln!(
            "NOT TRIED: there is no {0} here; apt-get install {0}",
            shell[0]
        );
        return None;
    }
    let mut terminal = Terminal::run(cli, shell[0], &shell[1..]);
    // Quoted in the middle, so that the line itself is not taken for what it prints.
    terminal.press(format!("{start}; echo rea''dy\n").as_bytes());
    terminal.shows("ready");
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        // The line, Tab where it says so; then all of it as the quoted words of another command.
        let keys = line.replace("<TAB>", "\t");
        terminal.press(format!("{keys}\x01echo {number}'[' \x05 ']'\n").as_bytes());
        let (begin, end) = (format!("{number}[ "), " ]");
        eventually(|| {
            let screen = terminal.screen();
            screen
                .rfind(&begin)
                .is_some_and(|at| screen[at..].contains(end))
        });
        let screen = terminal.screen();
        let rest = &screen[screen.rfind(&begin).unwrap() + begin.len()..];
        found.push(rest[..rest.find(end).unwrap()].to_owned());
    }
    terminal.press(b"exit\n");
    Some(found)
}

/// What is typed, and what the line is then.
const TYPED: [(&str, &str); 5] = [
    ("paas ps:sc<TAB>", "paas ps:scale"),
    (
        "paas releases:ro<TAB>--no-w<TAB>",
        "paas releases:rollback --no-wait",
    ),
    ("paas ps -a blo<TAB>--js<TAB>", "paas ps -a blog --json"),
    ("paas ps --app=blo<TAB>", "paas ps --app=blog"),
    (
        "paas ps:scale -a shop wo<TAB>2",
        "paas ps:scale -a shop worker=2",
    ),
];

#[test]
fn a_real_bash_completes_what_is_typed() {
    let cli = with_apps_on_path();
    let start = "source <(paas completion bash)";
    let lines = TYPED.map(|(line, _)| line);
    if let Some(found) = typed(
        &cli,
        &["bash", "--norc", "--noprofile", "-i"],
        start,
        &lines,
    ) {
        assert_eq!(found, TYPED.map(|(_, becomes)| becomes));
    }
}

#[test]
fn a_real_zsh_completes_what_is_typed() {
    let cli = with_apps_on_path();
    let start = "bindkey -e; autoload -Uz compinit; compinit -u; source <(paas completion zsh)";
    let lines = TYPED.map(|(line, _)| line);
    if let Some(found) = typed(&cli, &["zsh", "-f", "-i"], start, &lines) {
        assert_eq!(found, TYPED.map(|(_, becomes)| becomes));
    }
}

#[test]
fn a_real_fish_completes_what_is_typed() {
    let cli = with_apps_on_path();
    let script = "
        paas completion fish | source
        for line in 'paas ps:sc' 'paas config:' 'paas ps -a sh' 'paas logs --ta' 'paas ps:scale -a shop wo'
            complete --do-complete $line
        end";
    let output = match cli.command("fish").args(["-c", script]).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("NOT TRIED: there is no fish here; apt-get install fish");
            return;
        }
        output => output.unwrap(),
    };
    let out = String::from_utf8(output.stdout).unwrap();
    let values: Vec<&str> = out
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    assert_eq!(
        values,
        [
            "ps:scale",
            "config:get",
            "config:set",
            "config:unset",
            "shop",
            "shop-staging",
            "--tail",
            "worker=",
        ]
    );
    assert!(out.contains("config:set\tSet config vars"), "{out}");
}
