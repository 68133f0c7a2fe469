//! The parts of the scripts that can be tried without a host to spare: settings, names, ports, steps.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A bash with parts of `lib/` in it, and a directory of its own.
struct Shell {
    dir: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs_err::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.path(name)).unwrap()
    }

    fn run(&self, script: &str) -> Output {
        let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib");
        let whole = format!(
            "set -euo pipefail\nprovisioning_dir=$lib/..\n\
             for part in steps packages docker user settings ports names daemon account sample leftovers programs; do source \"$lib/$part.sh\"; done\n\
             steps_log_dir=$PWD/logs\n{script}"
        );
        Command::new("bash")
            .args(["-c", &whole])
            .current_dir(self.dir.path())
            .env("lib", lib)
            .env("HOME", self.dir.path())
            .env_remove("SUDO_USER")
            .env("PAAS_HOSTS_FILE", self.path("hosts"))
            .output()
            .unwrap()
    }

    /// What the script prints; it must succeed.
    fn says(&self, script: &str) -> String {
        let output = self.run(script);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{out}{err}");
        out.trim_end().to_owned()
    }

    /// What the script complains of; it must fail.
    fn complains(&self, script: &str) -> String {
        let output = self.run(script);
        assert!(!output.status.success(), "{}", text(&output.stdout));
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn settings_files_allow_quotes_comments_and_both_spellings_of_a_key() {
    let shell = Shell::new();
    shell.write(
        "settings",
        "# mine\n\ndomain = \"apps.example.com\"   # ours\nhttp_port=8080\n  email = 'me@example.com'",
    );
    let said = shell.says(
        "read_settings settings; echo \"${setting[domain]} ${setting[http-port]} ${setting[email]}\"",
    );
    assert_eq!(said, "apps.example.com 8080 me@example.com");
}

#[test]
fn a_setting_that_does_not_exist_is_named_with_its_line() {
    let shell = Shell::new();
    shell.write("settings", "domain = a.b\ndomian = c.d\n");
    let complaint = shell.complains("read_settings settings");
    assert!(
        complaint.contains("settings, line 2: there is no setting domian"),
        "{complaint}"
    );
    assert!(
        complaint.contains("What to do: the keys are: name domain"),
        "{complaint}"
    );
}

#[test]
fn settings_read_back_as_they_were_written() {
    let shell = Shell::new();
    let said = shell.says(
        "default_name_and_directory; default_settings; setting[http-port]=8080\n\
         settings_text >first; setting=(); read_settings first; settings_text >second; cmp first second && echo same",
    );
    assert_eq!(said, "same");
}

#[test]
fn a_second_installation_shares_nothing_with_the_first() {
    let shell = Shell::new();
    let facts = "default_name_and_directory; default_settings\n\
        echo \"${setting[data-dir]} ${setting[domain]} $(network_name) $(daemon_unit) $(public_ca_file)\"; bridge_name";
    let first = shell.says(facts);
    assert_eq!(
        first,
        "/var/lib/paas paas.localhost paas paasd.service /usr/local/share/paas/paas/ca.pem\npaas0"
    );
    let second = shell.says(&format!("setting[name]=a-long-name-indeed\n{facts}"));
    let mut words = second.split_whitespace();
    assert_eq!(words.next(), Some("/var/lib/paas-a-long-name-indeed"));
    assert_eq!(words.next(), Some("a-long-name-indeed.localhost"));
    assert_eq!(words.next(), Some("paas-a-long-name-indeed"));
    let bridge = second.lines().last().unwrap();
    assert!(
        bridge.len() <= 15 && bridge != "paas0",
        "{bridge} is an interface's name"
    );
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let shell = Shell::new();
    for (given, complaint) in [
        ("setting[domain]='a b'", "a b is not a domain name"),
        ("setting[http-port]=70000", "70000 is not a port"),
        ("setting[ssh-port]=22x", "22x is not a port"),
        (
            "setting[http-port]=8080 setting[https-port]=8080",
            "two of the ports are the same: 8080",
        ),
        (
            "setting[listen]=localhost",
            "localhost is not an address to listen on",
        ),
        ("setting[store]=sqlite", "sqlite is not a store"),
        ("setting[email]=me", "me is not an e-mail address"),
        ("setting[prefix]='/a\"b'", "holds a quote"),
        (
            "setting[name]='../x'",
            "../x cannot be an installation's name",
        ),
    ] {
        let said = shell.complains(&format!(
            "{given}\ndefault_name_and_directory; default_settings; check_settings"
        ));
        assert!(said.contains(complaint), "{given}: {said}");
        assert!(said.contains("What to do: "), "{given}: {said}");
    }
}

#[test]
fn the_standard_ports_go_together_and_a_choice_is_kept() {
    let shell = Shell::new();
    let choose = |taken: &str, given: &str| {
        shell.says(&format!(
            "port_is_free() {{ [[ ' {taken} ' != *\" $1 \"* ]]; }}\nport_holder() {{ echo nginx; }}\n\
             {given}\nchoose_ports >/dev/null; echo \"${{setting[http-port]}} ${{setting[https-port]}} ${{setting[ssh-port]}}\""
        ))
    };
    assert_eq!(choose("", ""), "80 443 2222");
    assert_eq!(choose("443", ""), "8080 8443 2222");
    assert_eq!(choose("80 2222 2223", ""), "8080 8443 2224");
    assert_eq!(choose("443", "setting[http-port]=9000"), "9000 8443 2222");
    assert_eq!(
        choose(
            "80 443 2222",
            "setting[http-port]=80 setting[https-port]=443 setting[ssh-port]=2222"
        ),
        "80 443 2222",
        "taken by ourselves: the platform runs"
    );
}

#[test]
fn a_port_that_is_taken_is_named_with_its_holder() {
    let shell = Shell::new();
    let ports = "setting[http-port]=80 setting[https-port]=443 setting[ssh-port]=2222\n\
        port_is_free() { [[ $1 != 443 ]]; }\nport_holder() { echo '\"nginx\", process 17'; }\n\
        port_is_held_by() { [[ \"$1 $2\" == '443 17' ]]; }\n";
    let complaint = shell.complains(&format!("{ports}check_ports ''"));
    assert!(
        complaint.contains("port 443 is taken by \"nginx\", process 17"),
        "{complaint}"
    );
    assert!(
        complaint.contains("choose another port with --https-port"),
        "{complaint}"
    );
    shell.says(&format!("{ports}check_ports 17"));
    let complaint = shell.complains(&format!("{ports}check_ports 1"));
    assert!(complaint.contains("process 17"), "{complaint}");
}

#[test]
fn a_port_in_use_is_seen() {
    let shell = Shell::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert_eq!(
        shell.says(&format!("port_is_free {port} || echo taken")),
        "taken"
    );
    let us = std::process::id();
    shell.says(&format!(
        "port_is_held_by {port} {us}; ! port_is_held_by {port} 1"
    ));
    drop(taken);
    assert_eq!(
        shell.says(&format!("port_is_free {port} && echo free")),
        "free"
    );
}

#[test]
fn an_address_that_is_not_this_hosts_is_refused() {
    let shell = Shell::new();
    for address in ["0.0.0.0", "[::]", "127.0.0.1"] {
        shell.says(&format!("setting[listen]='{address}'; check_listen"));
    }
    let complaint = shell.complains("setting[listen]=192.0.2.1; check_listen");
    assert!(
        complaint.contains("192.0.2.1 is no address of this host"),
        "{complaint}"
    );
}

#[test]
fn git_forgets_every_domain_the_installation_had_and_no_other() {
    let shell = Shell::new();
    let trust = "default_name_and_directory; default_settings; has_local_ca() { true; }\n\
        trust() {\n\
          setting[domain]=$1; setting[https-port]=$2; trust_ca_in_git\n\
          git config --global --replace-all \"credential.$(git_origin).helper\" ''\n\
          git config --global --add \"credential.$(git_origin).helper\" '!paas git:credentials'\n\
          git config --global \"http.$(git_origin)/.sslCAInfo\" ca.pem\n\
        }\n";
    let ours = format!("{trust}trust old.test 443; trust older.test 8443; trust new.test 443\n");
    shell.says(&format!(
        "setting[name]=other\n{trust}trust other.test 443\n\
         git config --global user.name me"
    ));
    let others = shell.read(".gitconfig");
    let said = shell.says(&format!(
        "{ours}forget_git_origins \"$(git_origin)\"; git_origins; git config --global --list"
    ));
    assert!(said.starts_with("https://git.new.test\n"), "{said}");
    assert!(!said.contains("old"), "{said}");
    shell.says(&format!("{ours}forget_git_origins"));
    assert_eq!(shell.read(".gitconfig"), others);
}

#[test]
fn the_samples_remote_follows_the_domain_unless_it_was_led_elsewhere() {
    let shell = Shell::new();
    let sample = "setting[https-port]=443 setting[prefix]=$PWD; default_name_and_directory; default_settings\n\
        mkdir -p bin paas-hello; git -C paas-hello init --quiet; remote() { git -C paas-hello remote \"$@\"; }\n\
        printf '#!/bin/sh\\ngit remote set-url paas https://git.new.test/hello.git\\n' >bin/paas; chmod +x bin/paas\n";
    let said = shell.says(&format!(
        "{sample}remote add paas https://git.old.test:8443/hello.git\n\
         git -C paas-hello config http.https://git.old.test:8443/.sslCAInfo ca.pem\n\
         setting[domain]=new.test; sample_remote_is_old && renew_sample_remote\n\
         remote get-url paas; sample_remote_is_old || echo current; cat paas-hello/.git/config"
    ));
    assert!(
        said.starts_with("https://git.new.test/hello.git\ncurrent\n"),
        "{said}"
    );
    assert!(!said.contains("old.test"), "{said}");
    for elsewhere in ["https://github.com/me/hello.git", "git@git.old.test:hello"] {
        let said = shell.says(&format!(
            "{sample}remote set-url paas {elsewhere}; sample_remote_is_old || echo kept"
        ));
        assert_eq!(said, "kept", "{elsewhere}");
    }
}

#[test]
fn names_are_written_once_and_removed_without_a_trace() {
    let shell = Shell::new();
    let before = "127.0.0.1 localhost\n# ours\n::1 ip6-localhost\n";
    shell.write("hosts", before);
    let ensure =
        "resolves() { [[ $1 == known.test ]]; }\nensure_names paas known.test api.test git.test";
    shell.says(ensure);
    let with_block = shell.read("hosts");
    assert!(with_block.starts_with(before), "{with_block}");
    assert!(
        with_block.contains("\n127.0.0.1 api.test git.test\n"),
        "{with_block}"
    );
    assert_eq!(shell.says(ensure), "", "nothing to do the second time");
    assert_eq!(shell.read("hosts"), with_block);
    shell.says("resolves() { true; }\nensure_names paas known.test api.test git.test");
    assert_eq!(
        shell.read("hosts"),
        with_block,
        "they resolve because of the block: it stays"
    );
    shell.says("resolves() { false; }\nensure_names other other.test");
    shell.says("forget_names paas");
    let other_only = shell.read("hosts");
    assert!(
        other_only.contains("127.0.0.1 other.test") && !other_only.contains("api.test"),
        "{other_only}"
    );
    shell.says("forget_names other; forget_names other");
    assert_eq!(shell.read("hosts"), before);
}

#[test]
fn files_are_written_only_when_they_change() {
    let shell = Shell::new();
    let write = "printf 'a\\nb\\n' | write_if_changed file 640 && echo written || echo kept";
    assert_eq!(shell.says(write), "written");
    assert_eq!(shell.says(write), "kept");
    assert_eq!(shell.read("file"), "a\nb\n");
    assert_eq!(shell.says("stat -c %a file"), "640");
    assert_eq!(
        shell.says("printf 'a\\nb' | write_if_changed file 600 && echo written"),
        "written"
    );
}

#[test]
fn manuals_and_completion_come_with_a_new_paas_and_not_again() {
    let shell = Shell::new();
    fs_err::create_dir_all(shell.path("prefix/bin")).unwrap();
    let paas = r#"printf '%s\n' '#!/bin/sh' \
        'case $1 in completion) echo "script for $2" ;; man) echo page >"$3/paas.1"; echo page >"$3/paas-ps.1" ;; esac' \
        >prefix/bin/paas; chmod +x prefix/bin/paas"#;
    let install = "setting[prefix]=$PWD/prefix; install_manuals";
    let old = "touch -d '2 days ago' prefix/bin/paas";
    let said = shell.says(&format!("{paas}; {old}; {install}"));
    assert!(said.contains("Installed the manual pages"), "{said}");
    let share = "prefix/share";
    for (file, text) in [
        ("man/man1/paas.1", "page\n"),
        ("man/man1/paas-ps.1", "page\n"),
        ("bash-completion/completions/paas", "script for bash\n"),
        ("zsh/site-functions/_paas", "script for zsh\n"),
        ("fish/vendor_completions.d/paas.fish", "script for fish\n"),
    ] {
        assert_eq!(shell.read(&format!("{share}/{file}")), text, "{file}");
    }
    assert_eq!(shell.says(install), "");
    // Pages of commands that are gone go, too; other programs' stay.
    let newer = "echo >prefix/share/man/man1/paas-gone.1; echo >prefix/share/man/man1/other.1; touch -d '1 day' prefix/bin/paas";
    assert!(
        shell
            .says(&format!("{newer}; {install}"))
            .contains("Installed")
    );
    assert!(!shell.path("prefix/share/man/man1/paas-gone.1").exists());
    assert!(shell.path("prefix/share/man/man1/other.1").exists());
}

#[test]
fn a_paas_from_before_that_has_neither_is_installed_as_it_is() {
    let shell = Shell::new();
    fs_err::create_dir_all(shell.path("prefix/bin")).unwrap();
    let said = shell.says(
        "printf '%s\\n' '#!/bin/sh' 'exit 2' >prefix/bin/paas; chmod +x prefix/bin/paas; setting[prefix]=$PWD/prefix; install_manuals",
    );
    assert_eq!(said, "");
    assert!(!shell.path("prefix/share").exists());
}

#[test]
fn a_step_that_fails_shows_its_last_lines_and_what_to_do() {
    let shell = Shell::new();
    let complaint = shell.complains(
        "lots() { seq 1 100; echo 'the reason'; false; echo 'not reached'; }\n\
         run_step 'Doing lots' 'do less' lots\necho 'not reached either'",
    );
    assert!(
        complaint.contains("Failed: Doing lots (exit status 1)"),
        "{complaint}"
    );
    assert!(
        complaint.contains("  | 100\n  | the reason\n"),
        "{complaint}"
    );
    assert!(
        complaint.ends_with("  What to do: do less\n"),
        "{complaint}"
    );
    assert!(!complaint.contains("| 10\n") && !complaint.contains("not reached"));
}

#[test]
fn a_step_aloud_shows_its_output_and_fails_with_its_command() {
    let shell = Shell::new();
    let output = shell.run("run_step_aloud 'Pushing' 'push again' bash -c 'echo remote; exit 3'");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("remote\n"));
    assert!(text(&output.stderr).contains("Failed: Pushing (exit status 3)"));
}

#[test]
fn only_missing_packages_are_asked_for() {
    let shell = Shell::new();
    let said = shell.says(
        "need_program bash bash; need_program no-such-program-here its-package\n\
         need_file /etc/passwd base-passwd; need_file /no/such/file its-other-package; echo \"${packages_missing[*]}\"",
    );
    assert_eq!(said, "its-package its-other-package");
}

#[test]
fn stale_package_lists_are_fetched_again_once() {
    let shell = Shell::new();
    let said = shell.says(
        "hold_services() { :; }; release_services() { :; }\n\
         apt-cache() { return 0; }\n\
         apt-get() { echo \"$*\" >>calls; case $* in *install*) [[ -e updated ]] ;; *update) touch updated ;; esac; }\n\
         install_packages git >/dev/null; cat calls",
    );
    let calls: Vec<_> = said.lines().collect();
    assert_eq!(calls.len(), 3, "{said}");
    assert!(calls[0].ends_with("install --yes --no-install-recommends git"));
    assert!(calls[1].ends_with("update"));
}

#[test]
fn a_process_number_that_belongs_to_another_program_is_not_ours() {
    let shell = Shell::new();
    let said = shell.says(
        "systemd_runs() { false; }; setting[data-dir]=$PWD/data; mkdir -p data\n\
         echo $$ >data/paasd.pid; echo \"[$(daemon_pid)]\"\n\
         printf '#!/bin/bash\\nwhile read -r _; do :; done\\n' >paasd; chmod +x paasd; mkfifo hold\n\
         exec 7<>hold; ./paasd server --config \"$(daemon_config)\" <&7 & ours=$!\n\
         echo $ours >data/paasd.pid\n\
         wait_until 5 eval '[[ $(daemon_pid) == $ours ]]' && echo found\n\
         kill $ours; wait $ours || true; echo \"[$(daemon_pid)]\"",
    );
    assert_eq!(said, "[]\nfound\n[]");
}

#[test]
fn the_configuration_names_what_was_chosen() {
    let shell = Shell::new();
    let said = shell.says(
        "setting[http-port]=8080 setting[https-port]=8443 setting[ssh-port]=2222 setting[listen]=127.0.0.1\n\
         default_name_and_directory; default_settings; paasd_toml; api_url; platform_url http x.y",
    );
    assert!(
        said.contains("[router]\nhttp = [\"127.0.0.1:8080\"]\nhttps = [\"127.0.0.1:8443\"]\n"),
        "{said}"
    );
    assert!(said.ends_with("https://api.paas.localhost:8443\nhttp://x.y:8080"));
}

#[test]
fn both_scripts_explain_themselves_and_refuse_what_they_do_not_know() {
    for script in ["up", "down"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let help = Command::new(&path).arg("--help").output().unwrap();
        assert!(help.status.success());
        assert!(text(&help.stdout).starts_with(&format!("Usage: provisioning/{script}")));
        let output = Command::new(&path).arg("--no-such=1").output().unwrap();
        assert!(!output.status.success());
        let said = text(&output.stderr);
        assert!(said.contains("there is no option --no-such"), "{said}");
    }
}
