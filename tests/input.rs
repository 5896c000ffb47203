//! Inputs: what is opened, unpacked, transcoded, refused, and recognised again.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use tempfile::TempDir;
use wattline::flush::Position;
use wattline::input::fingerprint::{Recognised, Running, START, proof, recognise, start_hash};
use wattline::input::{
    Bytes, Encoding, Head, InputSpec, Limits, Opened, Packing, expand, head, read_error, refuse,
};
use wattline::{Error, Kind, Result};

const TEXT: &[u8] = b"at;v\n1/2/2007;1\n13/2/2007;2\n";

fn dir() -> TempDir {
    TempDir::new().unwrap()
}

fn file(dir: &TempDir, name: &str, bytes: &[u8]) -> InputSpec {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    InputSpec::file(name, &path)
}

fn all(opened: Opened) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    match opened.bytes {
        Bytes::At { file, len } => {
            (&*file).take(len).read_to_end(&mut out).unwrap();
        }
        Bytes::Stream(mut stream) => {
            stream
                .read_to_end(&mut out)
                .map_err(|e| read_error(&opened.name, e))?;
        }
    }
    Ok(out)
}

fn read(spec: &InputSpec) -> Result<Vec<u8>> {
    all(spec.open(&Limits::default())?)
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        to.start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        to.write_all(bytes).unwrap();
    }
    to.finish().unwrap().into_inner()
}

fn names(specs: &[InputSpec]) -> Vec<String> {
    let name = |s: &InputSpec| {
        Path::new(&*s.name)
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    specs.iter().map(name).collect()
}

#[test]
fn globs_are_sorted_and_lists_keep_their_order() {
    let dir = dir();
    for name in ["b.csv", "a.csv", "c[1].csv"] {
        file(&dir, name, TEXT);
    }
    fs::create_dir(dir.path().join("d.csv")).unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    assert_eq!(
        names(&expand(&[at("*.csv")]).unwrap()),
        ["a.csv", "b.csv", "c[1].csv"]
    );
    let list = expand(&[at("c[1].csv"), at("a*")]).unwrap();
    assert_eq!(names(&list), ["c[1].csv", "a.csv"]);
    for lost in [at("no.csv"), at("no*.csv")] {
        let error = expand(std::slice::from_ref(&lost)).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.message.contains(&lost), "{error}");
    }
    assert_eq!(expand(&[]).unwrap_err().kind, Kind::NotFound);
    let error = expand(&[at("d.csv")]).unwrap_err();
    assert!(error.message.contains("is a directory"), "{error}");
}

#[test]
fn packed_files_are_told_by_their_bytes() {
    let dir = dir();
    let mut members = gz(&TEXT[..10]);
    members.extend(gz(&TEXT[10..]));
    let mut frames = zst(&TEXT[..10]);
    frames.extend(zst(&TEXT[10..]));
    let mut padded = gz(TEXT);
    padded.extend([0; 700]);
    let cases = [
        (TEXT.to_vec(), Packing::Plain),
        (gz(TEXT), Packing::Gzip),
        (members, Packing::Gzip),
        (padded, Packing::Gzip),
        (zst(TEXT), Packing::Zstd),
        (frames, Packing::Zstd),
        (zip(&[("power.csv", TEXT)]), Packing::Zip),
        (
            zip(&[
                ("readme.md", b"x"),
                ("__MACOSX/power.csv", b"y"),
                ("in/power.TXT", TEXT),
            ]),
            Packing::Zip,
        ),
    ];
    for (bytes, packing) in cases {
        let spec = file(&dir, "power.csv", &bytes);
        let opened = spec.open(&Limits::default()).unwrap();
        assert_eq!(opened.packing, packing);
        assert_eq!(
            matches!(opened.bytes, Bytes::At { .. }),
            packing == Packing::Plain
        );
        assert_eq!(all(opened).unwrap(), TEXT, "{packing:?}");
        // The same through a pipe, looked at first.
        let pipe = InputSpec::reader("-", Box::new(Cursor::new(bytes)));
        let seen = head(&pipe, 7).unwrap();
        assert_eq!((&seen.bytes[..], seen.whole), (&TEXT[..7], false));
        assert!(head(&pipe, 1000).unwrap().whole);
        assert_eq!(read(&pipe).unwrap(), TEXT);
        let again = read(&pipe).unwrap_err();
        assert!(again.message.contains("only once"), "{again}");
    }
}

fn refused(bytes: &[u8], part: &str) -> Error {
    let dir = dir();
    let spec = file(&dir, "power.csv", bytes);
    let error = read(&spec).unwrap_err();
    assert_eq!(error.kind, Kind::Schema, "{error}");
    assert!(error.message.contains(part), "{error}");
    assert!(error.message.starts_with("power.csv"), "{error}");
    error
}

#[test]
fn cut_and_damaged_archives_say_where() {
    let long: Vec<u8> = (0..200_000_u32)
        .flat_map(|i| (i.wrapping_mul(2654435761)).to_le_bytes())
        .collect();
    for packed in [gz(&long), zst(&long)] {
        let error = refused(&packed[..packed.len() / 2], "ends in the middle");
        assert!(error.message.contains("unpacked bytes"), "{error}");
        assert!(error.message.contains("again"), "{error}");
    }
    let mut damaged = gz(&long);
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    refused(&damaged, "is damaged");
    let mut followed = gz(TEXT);
    followed.extend(b"and more");
    refused(&followed, "follow its end");
    let packed = zip(&[("power.csv", &long)]);
    refused(&packed[..packed.len() / 2], "zip archive cannot be read");
    let mut damaged = zip(&[("power.csv", TEXT)]);
    let at = damaged.windows(4).position(|w| w == b"2007").unwrap_or(45);
    damaged[at] ^= 1;
    refused(&damaged, "is damaged");
}

#[test]
fn archives_that_hold_no_one_table_are_refused() {
    refused(&gz(&gz(TEXT)), "archive in an archive");
    refused(&zip(&[("power.csv", &gz(TEXT))]), "archive in an archive");
    let error = refused(
        &zip(&[("a.csv", TEXT), ("b.csv", TEXT)]),
        "2 files (a.csv, b.csv)",
    );
    assert!(error.message.contains("name the files"), "{error}");
    refused(&zip(&[]), "is empty");
    refused(
        &zip(&[("[Content_Types].xml", b"<x/>"), ("xl/a.xml", b"<x/>")]),
        "office document",
    );
}

#[test]
fn bombs_end_at_the_limits() {
    let dir = dir();
    let zeros = vec![b'0'; 8 << 20];
    for packed in [gz(&zeros), zst(&zeros), zip(&[("a.csv", &zeros)])] {
        let spec = file(&dir, "bomb.csv", &packed);
        let size = Limits {
            unpacked: 1 << 20,
            ..Limits::default()
        };
        let error = spec.open(&size).and_then(all).unwrap_err();
        assert!(error.message.contains("limit of 1048576 bytes"), "{error}");
        let ratio = Limits {
            ratio: 50,
            ratio_from: 1 << 20,
            ..Limits::default()
        };
        let error = spec.open(&ratio).and_then(all).unwrap_err();
        assert!(error.message.contains("more than 50 times"), "{error}");
        assert_eq!(read(&spec).unwrap().len(), zeros.len());
    }
}

fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let marked = mark.then_some('\u{FEFF}').into_iter().chain(text.chars());
    let units: Vec<u16> = marked.collect::<String>().encode_utf16().collect();
    let bytes = |u: &u16| {
        if big {
            u.to_be_bytes()
        } else {
            u.to_le_bytes()
        }
    };
    units.iter().flat_map(bytes).collect()
}

#[test]
fn other_encodings_come_as_utf8() {
    let dir = dir();
    let text = "Zähler;Größe\n1;2,5\n".repeat(30_000);
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    let mut cases = vec![
        (text.clone().into_bytes(), Encoding::Utf8),
        (latin, Encoding::Cp1252),
    ];
    for big in [false, true] {
        let encoding = if big {
            Encoding::Utf16Be
        } else {
            Encoding::Utf16Le
        };
        cases.push((utf16(&text, big, true), encoding));
        cases.push((utf16(&text, big, false), encoding));
    }
    for (bytes, encoding) in cases {
        for packed in [bytes.clone(), gz(&bytes)] {
            let spec = file(&dir, "power.csv", &packed);
            let opened = spec.open(&Limits::default()).unwrap();
            assert_eq!(opened.encoding, encoding);
            assert_eq!(all(opened).unwrap(), text.as_bytes(), "{encoding:?}");
            let head = head(&spec, 1000).unwrap();
            assert_eq!(head.bytes, &text.as_bytes()[..1000]);
            refuse(&head).unwrap();
        }
    }
}

#[test]
fn a_broken_byte_in_utf8_is_left_to_the_records() {
    let spec = InputSpec::memory(
        "x",
        "Zähler;b\n1;\u{fc}\n"
            .as_bytes()
            .iter()
            .map(|b| if *b == 0xBC { 0xFF } else { *b })
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        spec.open(&Limits::default()).unwrap().encoding,
        Encoding::Utf8
    );
    let declared = InputSpec::memory("x", &b"a;\x80\n"[..]).in_encoding(Encoding::named("cp1252"));
    assert_eq!(read(&declared).unwrap(), "a;€\n".as_bytes());
}

#[test]
fn a_mark_is_passed_over_in_the_head_and_counted() {
    let dir = dir();
    let marked = [b"\xEF\xBB\xBF", TEXT].concat();
    let spec = file(&dir, "power.csv", &marked);
    let head = head(&spec, 1000).unwrap();
    assert_eq!((head.bom, &head.bytes[..], head.whole), (3, TEXT, true));
    assert_eq!(read(&spec).unwrap(), marked);
}

#[test]
fn what_is_no_table_is_refused_in_a_sentence() {
    let cases: [(&[u8], &str); 14] = [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
            "Git LFS pointer",
        ),
        (
            b"\n <!DOCTYPE html><html><body>Log in</body></html>",
            "HTML page",
        ),
        (b"<html>", "HTML page"),
        (b"<?xml version=\"1.0\"?><a/>", "XML"),
        (b"{\"a\": 1}", "JSON"),
        (b"PAR1\x15\x04\x15\x00PAR1", "Parquet"),
        (b"ARROW1\0\0\xff", "Arrow"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"SQLite format 3\0\x10\0", "SQLite"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0", "old Excel"),
        (b"BZh91AY&SY\x01\x02", "bzip2"),
        (b"\xFD7zXZ\0\0\x04", "xz"),
        (b"a,b\0\0\0\x01c\n1,2\n", "binary"),
        (b"", "is empty"),
    ];
    for (bytes, part) in cases {
        let head = Head::of("power.csv", bytes).unwrap();
        let error = refuse(&head).unwrap_err();
        assert_eq!(error.kind, Kind::Schema);
        assert!(error.message.contains(part), "{part}: {error}");
        assert!(error.message.starts_with("power.csv "), "{error}");
    }
    for good in [&b"ORC;a\n1;2\n"[..], b"a,b\n", b"1", b"PAR1,b\n1,2\n"] {
        refuse(&Head::of("power.csv", good).unwrap()).unwrap();
    }
    let mut torn = b"a,b\n1,2\n".repeat(1000);
    torn.push(0);
    refuse(&Head::of("power.csv", &torn).unwrap()).unwrap();
}

/// Bytes that differ everywhere.
fn long(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2654435761) >> 13) as u8 | 1)
        .collect()
}

fn position(bytes: &[u8], at: usize, path: Option<&Path>) -> Position {
    let mut running = Running::new().unwrap();
    // In uneven pieces: the hash does not depend on them.
    bytes[..at].chunks(70_001).for_each(|c| running.update(c));
    assert_eq!(
        running.proof(),
        blake3::hash(&bytes[..at]).to_hex().as_str()
    );
    assert_eq!(running.start(), start_hash(&bytes[..at]));
    Position {
        stream: running.start(),
        at: running.at(),
        row: 0,
        line: 1,
        proof: Some(running.proof()),
        path: path.map(|p| p.display().to_string()),
        time: None,
    }
}

fn known(spec: &InputSpec, positions: &[Position]) -> Recognised {
    recognise(positions, spec, &Limits::default()).unwrap()
}

#[test]
fn files_are_known_again_by_their_bytes() {
    let dir = dir();
    for (len, at) in [
        (3_000_000, 2_000_001),
        (3_000_000, START),
        (70_000, 69_999),
        (900, 500),
    ] {
        let bytes = long(len);
        for packed in [bytes.clone(), gz(&bytes)] {
            let spec = file(&dir, "a.csv", &packed);
            let before = position(&bytes, at, spec.path.as_deref());
            let other = position(b"something else", 9, None);
            let both = [other.clone(), before.clone()];
            assert_eq!(known(&spec, &[]), Recognised::New);
            assert_eq!(known(&spec, &both), Recognised::Continue(before.clone()));
            // Under another name it is the same file.
            let moved = file(&dir, "b.csv", &packed);
            assert_eq!(known(&moved, &both), Recognised::Continue(before.clone()));
            let whole = position(&bytes, len, spec.path.as_deref());
            assert_eq!(
                known(&spec, &[before, whole.clone()]),
                Recognised::Same(whole)
            );
        }
    }
}

#[test]
fn replaced_and_truncated_files_are_told() {
    let dir = dir();
    let bytes = long(300_000);
    let spec = file(&dir, "a.csv", &bytes);
    let before = position(&bytes, 200_000, spec.path.as_deref());
    let elsewhere = Position {
        path: Some("elsewhere.csv".into()),
        ..before.clone()
    };

    file(&dir, "a.csv", &bytes[..150_000]);
    let Recognised::Truncated(why) = known(&spec, std::slice::from_ref(&before)) else {
        panic!()
    };
    assert!(why.contains("150000") && why.contains("200000"), "{why}");
    assert!(matches!(
        known(&spec, std::slice::from_ref(&elsewhere)),
        Recognised::Truncated(_)
    ));

    let mut changed = bytes.clone();
    changed[100_000] ^= 2;
    file(&dir, "a.csv", &changed);
    let Recognised::Replaced(why) = known(&spec, std::slice::from_ref(&before)) else {
        panic!()
    };
    assert!(why.starts_with("a.csv"), "{why}");
    // The same first 64 KiB are enough of a hint.
    assert!(matches!(
        known(&spec, std::slice::from_ref(&elsewhere)),
        Recognised::Replaced(_)
    ));

    changed[3] ^= 2;
    file(&dir, "a.csv", &changed);
    assert!(matches!(
        known(&spec, std::slice::from_ref(&before)),
        Recognised::Replaced(_)
    ));
    assert_eq!(known(&spec, &[elsewhere]), Recognised::New);
}

#[test]
fn the_proof_of_a_file_is_that_of_its_bytes() {
    let dir = dir();
    let bytes = long(9_000_000);
    let spec = file(&dir, "a.csv", &bytes);
    let Bytes::At { file, .. } = spec.open(&Limits::default()).unwrap().bytes else {
        panic!()
    };
    for at in [0, 1, 65_536, 8_999_999] {
        let expected = blake3::hash(&bytes[..at]).to_hex().to_string();
        assert_eq!(proof("a.csv", &file, at as u64).unwrap(), expected);
    }
    assert!(proof("a.csv", &file, 9_000_001).is_err());
}

#[test]
fn a_named_pipe_is_read_once() {
    let dir = dir();
    let path = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let spec = expand(&[path.display().to_string()]).unwrap().remove(0);
    assert!(!spec.repeatable());
    let writer = std::thread::spawn(move || fs::write(&path, gz(TEXT)).unwrap());
    assert_eq!(head(&spec, 4).unwrap().bytes, &TEXT[..4]);
    assert_eq!(read(&spec).unwrap(), TEXT);
    writer.join().unwrap();
}
