use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const BOUNDS: Bounds = Bounds {
    bytes: 1 << 20,
    entries: 50,
};

struct Item<'a> {
    path: &'a str,
    kind: EntryType,
    content: &'a [u8],
    link: &'a str,
}

fn file<'a>(path: &'a str, content: &'a str) -> Item<'a> {
    Item {
        path,
        kind: EntryType::Regular,
        content: content.as_bytes(),
        link: "",
    }
}

fn of_kind(path: &str, kind: EntryType) -> Item<'_> {
    Item {
        kind,
        ..file(path, "")
    }
}

fn link<'a>(path: &'a str, kind: EntryType, link: &'a str) -> Item<'a> {
    Item {
        link,
        ..of_kind(path, kind)
    }
}

/// A header says whatever it is made to say, as a hostile one would.
fn raw(items: &[Item<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = Header::new_gnu();
        header.set_entry_type(item.kind);
        header.set_mode(0o755);
        header.set_mtime(1000);
        header.set_size(item.content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..item.path.len()].copy_from_slice(item.path.as_bytes());
        gnu.linkname[..item.link.len()].copy_from_slice(item.link.as_bytes());
        header.set_cksum();
        tar.append(&header, item.content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// The names in the tar that comes of it, or what whoever brought it is told.
fn rewritten(archive: &[u8]) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a.tgz"), dir.path().join("a.tar"));
    fs_err::write(&from, archive).unwrap();
    rewrite(&from, &to, BOUNDS).map_err(|error| error.to_string())?;
    let mut tar = tar::Archive::new(fs_err::File::open(&to).unwrap());
    let names = tar.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        match entry.link_name().unwrap() {
            Some(target) => format!("{path} -> {}", target.display()),
            None => path,
        }
    });
    Ok(names.collect())
}

fn names(items: &[Item<'_>]) -> Result<Vec<String>, String> {
    rewritten(&gzipped(&raw(items)))
}

#[test]
fn the_directory_around_a_github_archive_goes_and_others_stay() {
    let github = names(&[
        of_kind("app-1a2b3c/", EntryType::Directory),
        file("app-1a2b3c/Procfile", "web: x"),
        file("app-1a2b3c/bin/run", ""),
        link("app-1a2b3c/run", EntryType::Symlink, "bin/run"),
        link("app-1a2b3c/again", EntryType::Link, "app-1a2b3c/bin/run"),
    ]);
    assert_eq!(
        github.unwrap(),
        ["Procfile", "bin/run", "run -> bin/run", "again -> bin/run"]
    );
    let plain = names(&[of_kind("./", EntryType::Directory), file("./Procfile", "")]);
    assert_eq!(plain.unwrap(), ["Procfile"]);
    let many = names(&[file("lib/a", ""), file("Procfile", "")]);
    assert_eq!(many.unwrap(), ["lib/a", "Procfile"]);
}

#[test]
fn what_leads_out_of_an_archive_or_is_no_file_is_refused_by_name() {
    let cases = [
        (file("../evil", "x"), "leads out of it"),
        (file("a/../../evil", "x"), "leads out of it"),
        (file("/etc/cron.d/evil", "x"), "leads out of it"),
        (link("l", EntryType::Symlink, "/etc/passwd"), "leads out"),
        (link("l", EntryType::Symlink, "../x"), "leads out"),
        (link("d/l", EntryType::Symlink, "../../x"), "leads out"),
        (link("l", EntryType::Link, "/etc/passwd"), "no file of it"),
        (link("l", EntryType::Link, "../x"), "no file of it"),
        (of_kind("null", EntryType::Char), "is no file"),
        (of_kind("sda", EntryType::Block), "is no file"),
        (of_kind("pipe", EntryType::Fifo), "is no file"),
    ];
    for (bad, expected) in cases {
        let path = bad.path;
        let refusal = names(&[file("Procfile", ""), bad]).unwrap_err();
        assert!(refusal.contains(expected), "{path}: {refusal}");
        assert!(refusal.contains(path), "{path}: {refusal}");
    }
    let through = names(&[
        file("Procfile", ""),
        of_kind("d", EntryType::Directory),
        link("l", EntryType::Symlink, "d"),
        file("l/x", ""),
    ]);
    assert!(through.unwrap_err().contains("is below a link"));
    // Once its directory is left out, the link leads out.
    let wrapped = names(&[file("top/a", ""), link("top/l", EntryType::Symlink, "../b")]);
    assert!(wrapped.unwrap_err().contains("leads out"));
}

#[test]
fn what_is_no_archive_or_is_cut_short_is_refused() {
    let whole = gzipped(&raw(&[file("Procfile", &"web: x\n".repeat(1000))]));
    for (bytes, expected) in [
        (b"PK\x03\x04zip".to_vec(), "no gzipped tar"),
        (Vec::new(), "no gzipped tar"),
        (raw(&[file("Procfile", "")]), "no gzipped tar"),
        (gzipped(&[7; 5000]), "damaged"),
        (whole[..whole.len() / 2].to_vec(), "damaged"),
        (gzipped(&raw(&[])), "empty"),
    ] {
        let refusal = rewritten(&bytes).unwrap_err();
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
}

#[test]
fn an_archive_that_grows_without_end_is_stopped() {
    let zeros = vec![0; 2 << 20];
    let large = Item {
        content: &zeros,
        ..file("zeros", "")
    };
    assert!(names(&[large]).unwrap_err().contains("too large"));
    let name = Item {
        content: &zeros,
        ..of_kind("././@LongLink", EntryType::GNULongName)
    };
    let refusal = names(&[name, file("x", "")]).unwrap_err();
    assert!(refusal.contains("headers is too long"), "{refusal}");
    let paths: Vec<String> = (0..60).map(|number| format!("f{number}")).collect();
    let many: Vec<_> = paths.iter().map(|path| file(path, "")).collect();
    assert!(names(&many).unwrap_err().contains("too large"));
}

#[test]
fn a_file_at_the_top_is_read_and_a_large_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a.tgz"), dir.path().join("a.tar"));
    let items = [file("x/app.json", "{}"), file("x/lib/app.json", "no")];
    fs_err::write(&from, gzipped(&raw(&items))).unwrap();
    let written = rewrite(&from, &to, BOUNDS).unwrap();
    assert_eq!(written.newest, 1000);
    let read = |max| read_file(&to, "app.json", max).unwrap();
    assert_eq!(read(100).as_deref(), Some(&b"{}"[..]));
    assert_eq!(read(1), None);
    assert_eq!(read_file(&to, "Procfile", 100).unwrap(), None);
}
