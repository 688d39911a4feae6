use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::*;

fn path(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("lumbar-cache-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder.join("crops.cache")
}

fn key(config: u32) -> CacheKey {
    CacheKey::new("test 1", &config, &Fingerprint::of_files::<&str>([]).unwrap()).unwrap()
}

fn block(number: u16) -> Block {
    let pixels = (0..3 * 5 * 7).map(|k| k * 31 + number).collect();
    Block { shape: [3, 5, 7], pixels, about: json!({ "number": number }) }
}

fn names() -> Vec<String> {
    (0..9).map(|k| k.to_string()).collect()
}

fn build(path: &std::path::Path, key: CacheKey) -> Cache {
    Cache::open_or_build(path, key, &names(), |name| Ok(block(name.parse()?))).unwrap()
}

#[test]
fn blocks_come_back_as_they_were_stored() {
    let path = path("round-trip");
    let cache = build(&path, key(1));
    assert_eq!(cache.names().collect::<Vec<_>>(), names());
    for number in 0..9 {
        let view = cache.get(&number.to_string()).unwrap();
        let expected = block(number);
        assert_eq!((view.shape, view.pixels, view.about), (expected.shape, &expected.pixels[..], &expected.about));
        assert_eq!(view.slice(2), &expected.pixels[70..]);
    }
    assert!(matches!(cache.get("9"), Err(CacheError::NoBlock { .. })));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing temporary is left");
}

#[test]
fn another_configuration_makes_it_stale_and_it_is_rebuilt() {
    let path = path("stale");
    build(&path, key(1));
    assert!(matches!(Cache::open(&path, key(2)), Err(CacheError::Stale { .. })));
    build(&path, key(2));
    assert!(Cache::open(&path, key(2)).is_ok());
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let path = path("cut");
    build(&path, key(1));
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(13).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = Cache::open(&path, key(1)).unwrap_err();
        assert!(error.is_rebuildable(), "{length}: {error}");
    }
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert!(Cache::open(&path, key(1)).is_err(), "nor one that is too long");
}

#[test]
fn a_changed_byte_is_found_when_its_block_is_read() {
    let path = path("flip");
    build(&path, key(1));
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(41) {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        fs::write(&path, &changed).unwrap();
        let Ok(cache) = Cache::open(&path, key(1)) else { continue };
        let damaged = names().iter().filter(|name| cache.get(name).is_err()).count();
        let bytes = 2 * 105_usize;
        let in_padding = (at - HEADER) % bytes.next_multiple_of(ALIGNMENT) >= bytes;
        assert_eq!(damaged, usize::from(!in_padding), "byte {at}");
    }
}

#[test]
fn a_writer_that_is_given_up_leaves_nothing_and_an_abandoned_file_is_removed() {
    let path = path("given-up");
    let mut writer = CacheWriter::create(&path, key(1)).unwrap();
    writer.add("a", &block(1)).unwrap();
    assert!(matches!(writer.add("a", &block(1)), Err(CacheError::BadBlock { .. })));
    drop(writer);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);

    let abandoned = path.with_file_name(".crops.cache.1-1.part");
    fs::write(&abandoned, b"half").unwrap();
    let minute_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    fs::File::options().write(true).open(&abandoned).unwrap().set_modified(minute_ago).unwrap();
    build(&path, key(1));
    assert!(!abandoned.exists());
}

#[test]
fn several_builders_at_once_end_with_one_whole_cache() {
    let path = path("race");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let cache = build(&path, key(1));
                assert_eq!(cache.get("8").unwrap().pixels, block(8).pixels);
            });
        }
    });
    assert!(Cache::open(&path, key(1)).is_ok());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_block_that_cannot_be_made_is_named() {
    let path = path("unmade");
    let error = Cache::open_or_build(&path, key(1), &names(), |name| {
        if name == "4" { Err("no such study".into()) } else { Ok(block(0)) }
    });
    assert_eq!(error.unwrap_err().to_string(), "block \"4\": no such study");
    assert!(!path.exists());
}
