//! A process that is killed while it writes a cache leaves nothing that is taken for one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lumbar::data::cache::{Block, Cache, CacheKey, Fingerprint};
use lumbar::data::{StudyId, random::generator};
use rand::RngExt;

const BLOCKS: usize = 24;
/// The child of one kill writes at most so many caches.
const GENERATIONS: u64 = 40;
/// At least so many kills, and more until some came amid writing and some after a whole cache.
const KILLS: u64 = 14;
/// Tells the child where to write and from which generation on.
const PATH: &str = "LUMBAR_TEST_CACHE";
const FIRST: &str = "LUMBAR_TEST_GENERATION";

fn key(generation: u64) -> CacheKey {
    CacheKey::new("killed 1", &generation, &Fingerprint::of_files::<&str>([]).expect("no files")).expect("a key")
}

fn names() -> Vec<String> {
    (0..BLOCKS).map(|number| number.to_string()).collect()
}

fn block(generation: u64, name: &str) -> Block {
    let number: u64 = name.parse().expect("a number");
    let pixels = (0..3 * 100 * 150_u64).map(|k| (k * 31 + number * 7 + generation * 1009) as u16).collect();
    Block { shape: [3, 100, 150], pixels, about: serde_json::json!({ "generation": generation }) }
}

/// Every block is that of its generation.
fn check(cache: &Cache, generation: u64) {
    assert_eq!(cache.len(), BLOCKS);
    for name in names() {
        let (found, expected) = (cache.get(&name).expect("an accepted cache is whole"), block(generation, &name));
        assert!(found.pixels == expected.pixels && *found.about == expected.about, "block {name} of {generation}");
    }
}

fn build(path: &Path, generation: u64, pause: Duration) -> Cache {
    let make = |name: &str| {
        std::thread::sleep(pause);
        Ok(block(generation, name))
    };
    Cache::open_or_build(path, key(generation), &names(), make).expect("a cache")
}

#[test]
#[ignore = "the process that the next test kills"]
fn writes_caches_until_it_is_killed() {
    let path = PathBuf::from(std::env::var_os(PATH).expect("the parent passes the path"));
    let first: u64 =
        std::env::var(FIRST).ok().and_then(|text| text.parse().ok()).expect("the parent passes the number");
    for generation in first..first + GENERATIONS {
        build(&path, generation, Duration::from_millis(1));
    }
}

/// Files of a writer that is gone.
fn left_over(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "part")).collect()
}

#[test]
fn what_a_killed_writer_leaves_is_never_accepted_and_the_next_open_rebuilds() {
    let folder = lumbar_tests::scratch();
    let path = folder.path().join("crops.cache");
    let mut random = generator(1, 0, StudyId(0), "kills");
    let (mut torn, mut replaced) = (0, 0);
    for kill in 0..6 * KILLS {
        if kill >= KILLS && torn >= KILLS / 3 && replaced > 0 {
            break;
        }
        let first = kill * (GENERATIONS + 1);
        let mut child = Command::new(std::env::current_exe().expect("the test's own program"))
            .args(["--exact", "killed::writes_caches_until_it_is_killed", "--ignored"])
            .env(PATH, &path)
            .env(FIRST, first.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        // It has begun when its temporary file is there; then it is killed at any moment, on a busy machine later.
        let begun = (0..60_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            !left_over(folder.path()).is_empty()
        });
        assert!(begun, "the child writes");
        std::thread::sleep(Duration::from_micros(random.random_range(0..120_000 * (1 + kill / KILLS))));
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");

        let generations = first..first + GENERATIONS;
        let accepted: Vec<u64> = generations.clone().filter(|g| Cache::open(&path, key(*g)).is_ok()).collect();
        assert!(accepted.len() <= 1, "a cache belongs to one key: {accepted:?}");
        for generation in &accepted {
            check(&Cache::open(&path, key(*generation)).expect("as before"), *generation);
            replaced += 1;
        }
        // a file under the temporary name would not be accepted either, unless all of it is there
        for left in left_over(folder.path()) {
            torn += 1;
            for generation in generations.clone() {
                match Cache::open(&left, key(generation)) {
                    Ok(cache) => check(&cache, generation),
                    Err(error) => assert!(error.is_rebuildable(), "{error}"),
                }
            }
            std::fs::remove_file(left).expect("it can be removed");
        }
        let last = first + GENERATIONS;
        assert!(Cache::open(&path, key(last)).is_err(), "it has not been written");
        check(&build(&path, last, Duration::ZERO), last);
    }
    assert!(
        torn >= KILLS / 3 && replaced > 0,
        "{torn} of {KILLS} kills came amid writing, {replaced} after a whole one"
    );
}
