//! The stack itself: its servers live and die as they should, and lose nothing.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use aquifer_stack::{Endpoints, Halt, Phase, Progress, Server, Stack, StackError, StackOptions};
use mysql_async::prelude::Queryable;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::clients::{find, mariadb, store};
use crate::fixture::{block_on, folder, stack, tools};

/// Tells the test binary that it is to start a stack in this folder and wait.
const STARTER_ROOT: &str = "AQUIFER_TEST_STARTER_ROOT";
/// How long servers may take to die.
const DEATH: Duration = Duration::from_secs(30);

fn options(root: &Path) -> StackOptions {
    let mut options = StackOptions::new(root, tools());
    options.mariadb_durable = false;
    options
}

async fn start(root: &Path) -> Stack {
    Stack::start(options(root), &mut |_| {}).await.unwrap()
}

async fn store_all(endpoints: &Endpoints, name: &str, word: &str) {
    for server in Server::ALL {
        store(endpoints, server, name, word).await;
    }
}

async fn assert_all_have(endpoints: &Endpoints, name: &str, word: &str) {
    for server in Server::ALL {
        assert_eq!(find(endpoints, server, name).await, word, "{server}");
    }
}

/// Ids of the processes of which a file in `/proc/<pid>` has an entry like that.
fn processes_with(file: &str, is_such: impl Fn(&str) -> bool) -> Vec<u32> {
    let has = |pid: &u32| {
        let entries = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&entries).split('\0').any(&is_such)
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(has)
        .collect()
}

/// Whether an entry marks a process of the stack in `root`.
fn is_mark(entry: &str, root: &Path) -> bool {
    let root = fs::canonicalize(root).unwrap_or(root.to_path_buf());
    entry.starts_with("AQUIFER_STACK=") && entry.ends_with(&format!(":{}", root.display()))
}

/// The servers of a stack: they carry its mark in their environment.
fn processes_of(root: &Path) -> Vec<u32> {
    processes_with("environ", |entry| is_mark(entry, root))
}

/// The lifelines of a stack: they are told its mark.
fn lifelines_of(root: &Path) -> Vec<u32> {
    processes_with("cmdline", |entry| is_mark(entry, root))
}

async fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// This test binary once more, as the starter of a stack.
fn starter(root: &Path) -> (Child, ChildStdin) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "stack::helper_that_starts_a_stack"])
        .args(["--ignored", "--nocapture"])
        .env(STARTER_ROOT, root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines
        .map_while(Result::ok)
        .any(|line| line.contains("stack is up"));
    assert!(ready, "the starter did not start a stack");
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

#[test]
#[ignore = "not a test: the process that other tests kill"]
fn helper_that_starts_a_stack() {
    let root = env::var_os(STARTER_ROOT).expect("only started by `starter`");
    let _stack = block_on(start(Path::new(&root)));
    println!("stack is up");
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

#[test]
fn two_stacks_live_side_by_side() {
    let shared = stack();
    let parent = folder();
    let root = parent.path().join("second");
    block_on(async {
        let mut seen = Vec::new();
        let mut progress = |step: Progress| {
            eprintln!("{} {} {:?}", step.server, step.phase, step.elapsed);
            seen.push((step.server, step.phase));
        };
        let second = Stack::start(options(&root), &mut progress).await.unwrap();
        for server in Server::ALL {
            let phases: Vec<_> = seen.iter().filter(|step| step.0 == server).collect();
            let expected = [Phase::Preparing, Phase::Starting, Phase::Healthy];
            assert!(phases.iter().map(|step| step.1).eq(expected), "{phases:?}");
        }
        let other = second.endpoints();
        store_all(shared, "side_by_side", "first").await;
        store_all(other, "side_by_side", "second").await;
        assert_all_have(shared, "side_by_side", "first").await;
        assert_all_have(other, "side_by_side", "second").await;

        let in_use = Stack::start(options(&root), &mut |_| {}).await;
        assert!(matches!(in_use, Err(StackError::InUse { .. })));
        assert_all_have(other, "side_by_side", "second").await;

        let port = other.mariadb.port;
        second.stop().await.unwrap();
        assert!(processes_of(&root).is_empty());
        TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert_all_have(shared, "side_by_side", "first").await;
    });
}

#[test]
fn servers_die_with_a_killed_starter_and_their_data_stay() {
    let parent = folder();
    let root = parent.path().join("killed");
    block_on(async {
        let (mut child, _stdin) = starter(&root);
        let attached = Stack::attach(&root).unwrap().unwrap();
        assert_eq!(attached.starter, Some(child.id()));
        assert_eq!(attached.servers.len(), 3);
        store_all(&attached.endpoints, "survivor", "still here").await;

        child.kill().unwrap();
        child.wait().unwrap();
        until("all servers are gone", DEATH, || {
            processes_of(&root).is_empty()
        })
        .await;
        assert!(Stack::attach(&root).unwrap().is_none());

        let again = start(&root).await;
        let (before, now) = (&attached.endpoints, again.endpoints());
        assert_eq!(now.mariadb.password, before.mariadb.password);
        assert_eq!(now.s3.secret_key, before.s3.secret_key);
        assert_all_have(again.endpoints(), "survivor", "still here").await;
        again.stop().await.unwrap();
    });
}

#[test]
fn a_start_ends_what_a_crashed_one_left() {
    let parent = folder();
    let root = parent.path().join("left");
    block_on(async {
        let (mut child, _stdin) = starter(&root);
        child.kill().unwrap();
        child.wait().unwrap();
        // At once: the lifeline of the dead starter is at work on the same servers.
        let again = start(&root).await;
        // Long enough for that lifeline to end the new servers, if it took them for its own.
        let pids = Server::ALL.map(|server| again.pid(server).unwrap());
        until("the old lifeline is gone", DEATH, || {
            lifelines_of(&root).len() == 1
        })
        .await;
        let mut alive = processes_of(&root);
        alive.sort_unstable();
        let mut expected = pids.to_vec();
        expected.sort_unstable();
        assert_eq!(alive, expected);
        again.stop().await.unwrap();
    });
}

#[test]
fn a_killed_server_comes_back_with_its_data_on_its_ports() {
    let parent = folder();
    let root = parent.path().join("restarts");
    block_on(async {
        let mut own = start(&root).await;
        let endpoints = own.endpoints().clone();
        for how in [Halt::Kill, Halt::Term] {
            for server in Server::ALL {
                let name = format!("{server}_{how:?}").to_lowercase();
                store(&endpoints, server, &name, "kept").await;
                let before = own.pid(server).unwrap();
                let began = Instant::now();
                own.restart(server, how).await.unwrap();
                eprintln!("{server} back {:?} after {how:?}", began.elapsed());
                assert_ne!(own.pid(server), Some(before));
                assert_eq!(own.endpoints(), &endpoints);
                assert_eq!(find(&endpoints, server, &name).await, "kept");
            }
        }

        own.kill(Server::MariaDb).await.unwrap();
        assert_eq!(own.pid(Server::MariaDb), None);
        let seen = Stack::attach(&root).unwrap().unwrap();
        assert_eq!(seen.servers.len(), 2);
        let answers = seen.probe().await;
        assert!(answers[&Server::MariaDb].is_err());
        assert_eq!(answers[&Server::Kafka], Ok(()));
        assert_eq!(answers[&Server::SeaweedFs], Ok(()));
        assert_eq!(own.fallen().unwrap(), [], "it was ended on purpose");
        own.restart(Server::MariaDb, Halt::Term).await.unwrap();
        assert_eq!(
            find(&endpoints, Server::MariaDb, "mariadb_kill").await,
            "kept"
        );

        // One that dies by itself is told of once, and can be started again.
        let pid = own.pid(Server::MariaDb).unwrap();
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
        let mut fallen = Vec::new();
        until("its end is seen", DEATH, || {
            fallen = own.fallen().unwrap();
            !fallen.is_empty()
        })
        .await;
        let fallen: Vec<_> = fallen.into_iter().map(|(who, _)| who).collect();
        assert_eq!(fallen, [Server::MariaDb]);
        assert_eq!(own.fallen().unwrap(), []);
        own.restart(Server::MariaDb, Halt::Kill).await.unwrap();

        // A start finds the data also where its ports are taken by another meanwhile.
        own.stop().await.unwrap();
        let _stranger = TcpListener::bind(("127.0.0.1", endpoints.mariadb.port)).unwrap();
        let moved = start(&root).await;
        assert_ne!(moved.endpoints().mariadb.port, endpoints.mariadb.port);
        assert_eq!(
            moved.endpoints().mariadb.password,
            endpoints.mariadb.password
        );
        for server in Server::ALL {
            let name = format!("{server}_kill");
            assert_eq!(find(moved.endpoints(), server, &name).await, "kept");
            store(moved.endpoints(), server, &format!("{server}_moved"), "new").await;
        }
        moved.stop().await.unwrap();
    });
}

#[test]
fn a_stack_can_be_stopped_from_outside() {
    let parent = folder();
    let root = parent.path().join("outside");
    block_on(async {
        let (mut child, _stdin) = starter(&root);
        let attached = Stack::attach(&root).unwrap().unwrap();
        // Reaps the starter, as a shell would, so that it is not a zombie of this process.
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        attached.stop(DEATH).await.unwrap();
        reaper.join().unwrap();
        assert!(processes_of(&root).is_empty());
        assert!(Stack::attach(&root).unwrap().is_none());
    });
}

#[test]
fn servers_that_lost_starter_and_lifeline_can_be_stopped_from_outside() {
    let parent = folder();
    let root = parent.path().join("orphans");
    block_on(async {
        let (mut child, _stdin) = starter(&root);
        for lifeline in lifelines_of(&root) {
            kill(Pid::from_raw(lifeline as i32), Signal::SIGKILL).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let orphans = Stack::attach(&root).unwrap().unwrap();
        assert_eq!((orphans.starter, orphans.servers.len()), (None, 3));
        assert_eq!(processes_of(&root).len(), 3);
        orphans.stop(DEATH).await.unwrap();
        assert!(processes_of(&root).is_empty());
    });
}

#[test]
fn a_stack_dropped_without_a_stop_ends_too_and_an_ephemeral_one_leaves_nothing() {
    let parent = folder();
    let root = parent.path().join("ephemeral");
    block_on(async {
        let mut options = options(&root);
        options.ephemeral = true;
        let own = Stack::start(options.clone(), &mut |_| {}).await.unwrap();
        let s3 = own.endpoints().s3.endpoint.rsplit_once(':').unwrap().1;
        let s3_socket = format!(
            "/tmp/seaweedfs-s3-grpc-{}.sock",
            s3.parse::<u16>().unwrap() + 5
        );
        assert!(Path::new(&s3_socket).try_exists().unwrap());
        drop(own);
        until("servers, folder and sockets are gone", DEATH, || {
            let left = [&root, Path::new(&s3_socket)].map(|path| path.try_exists().unwrap());
            left == [false; 2] && processes_of(&root).is_empty()
        })
        .await;

        fs::create_dir_all(root.join("data/mine")).unwrap();
        let refused = Stack::start(options, &mut |_| {}).await.unwrap_err();
        assert!(matches!(refused, StackError::Folder { .. }), "{refused}");
        assert!(root.join("data/mine").try_exists().unwrap());
    });
}

#[test]
fn a_server_that_cannot_start_is_named_with_its_log_and_nothing_stays() {
    let parent = folder();
    block_on(async {
        let mut broken = options(&parent.path().join("no-program"));
        broken.tools.weed = parent.path().join("no-such-weed");
        let error = Stack::start(broken, &mut |_| {}).await.unwrap_err();
        assert!(error.to_string().contains("no-such-weed"), "{error}");
        assert!(processes_of(&parent.path().join("no-program")).is_empty());

        let mut broken = options(&parent.path().join("ends"));
        broken.tools.weed = "/bin/echo".into();
        let error = Stack::start(broken, &mut |_| {}).await.unwrap_err();
        assert!(
            matches!(
                error,
                StackError::Exited {
                    server: Server::SeaweedFs,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("-webdav=false"), "{error}");
        assert!(processes_of(&parent.path().join("ends")).is_empty());

        let mut broken = options(&parent.path().join("silent"));
        let sleeper = parent.path().join("sleeper");
        fs::write(&sleeper, "#!/bin/sh\necho dozing off\nsleep 60\n").unwrap();
        fs::set_permissions(&sleeper, fs::Permissions::from_mode(0o700)).unwrap();
        broken.tools.weed = sleeper;
        broken.start_deadline = Duration::from_secs(15);
        let error = Stack::start(broken, &mut |_| {}).await.unwrap_err();
        assert!(
            matches!(
                error,
                StackError::Unhealthy {
                    server: Server::SeaweedFs,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("dozing off"), "{error}");
        assert!(processes_of(&parent.path().join("silent")).is_empty());
    });
}

#[test]
fn credentials_are_needed_and_kept_from_others() {
    let endpoints = stack();
    block_on(async {
        let record = fs::metadata(endpoints.root.join("stack.json")).unwrap();
        assert_eq!(record.permissions().mode() & 0o777, 0o600);

        let mut stranger = endpoints.clone();
        stranger.mariadb.password = "guess".to_owned();
        let refused = mysql_async::Conn::from_url(stranger.mariadb.url()).await;
        assert!(refused.unwrap_err().to_string().contains("denied"));

        let mut own = mariadb(endpoints).await;
        own.query_drop("CREATE DATABASE aquifer_of_a_test")
            .await
            .unwrap();
        let charset: Option<String> = own
            .query_first(
                "SELECT default_character_set_name FROM information_schema.schemata \
                 WHERE schema_name = 'aquifer_of_a_test'",
            )
            .await
            .unwrap();
        assert_eq!(charset.as_deref(), Some("utf8mb4"));
        own.query_drop("CREATE DATABASE somebody_elses")
            .await
            .unwrap_err();
    });
}
