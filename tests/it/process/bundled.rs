//! Bundled sources beside a folder of mapping files: what a file of the folder changes, and what an
//! upgrade says.

use rusqlite::Connection;

use super::reload::{Scene, folder_with_survey, mapping, write};
use crate::support::relay::{Relay, http, typeform_signature};
use crate::support::store::set_version;

#[tokio::test]
async fn new_file_switches_no_bundled_source_off() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start_in(folder).await;
    let off = "{\"event_type\":\"ping\"}";
    let live = async |relay: &Relay| {
        let sent = http()
            .post(format!("{}/hooks/typeform", relay.url))
            .header("typeform-signature", typeform_signature(off.as_bytes()))
            .body(off)
            .send();
        sent.await.unwrap().status()
    };
    assert_eq!(live(&scene.relay).await, 200);

    std::fs::create_dir(scene.folder.path().join("mappings")).unwrap();
    let other = "provider = \"form\"\nsecrets = [\"env:OTHER\"]\n[[feedback]]\nproblem = \"$.a\"\n";
    write(&scene.path("acme"), other);
    scene.logs("applied mapping files: acme is new", 0).await;
    assert_eq!(live(&scene.relay).await, 200);

    let Scene { folder, relay, .. } = scene;
    relay.kill();
    let scene = Scene::start_in(folder).await;
    assert_eq!(live(&scene.relay).await, 200);
    // An upgraded relay shows which of its sources are not in its folder.
    let table = &scene.relay.startup_output;
    assert!(table.contains("/hooks/typeform (bundled)\n"), "{table}");
    assert!(
        table.contains("acme      off   the environment variable OTHER is not set\n"),
        "{table}"
    );
}

#[tokio::test]
async fn bundled_file_applies_once_the_folders_file_is_gone() {
    let folder = folder_with_survey();
    let path = folder.path().join("mappings/survey.toml");
    std::fs::rename(path, folder.path().join("mappings/typeform.toml")).unwrap();
    let scene = Scene::start_in(folder).await;
    assert_eq!(scene.post("typeform", "1").await, 202);
    scene.arrives("first 1").await;

    std::fs::remove_file(scene.path("typeform")).unwrap();
    scene.logs("typeform is gone from the folder, its bundled file applies", 0).await;

    assert_eq!(scene.post("typeform", "2").await, 202);
    write(&scene.path("typeform"), &mapping("back"));
    scene.logs("typeform is new and replaces its bundled file", 0).await;
    assert_eq!(scene.post("typeform", "3").await, 202);
    scene.arrives("back 3").await;
}

#[tokio::test]
async fn renamed_copy_keeps_the_bundled_source_off() {
    let scene = Scene::start().await;

    assert_eq!(scene.post("survey", "1").await, 202);
    assert_eq!(scene.post("typeform", "2").await, 503);

    let table = &scene.relay.startup_output;
    let reason = "mappings/survey.toml uses its secret, TYPEFORM_SECRET";
    assert!(table.contains(&format!("typeform  off   {reason}\n")), "{table}");
    std::fs::remove_file(scene.path("survey")).unwrap();
    scene.logs("typeform is live", 0).await;
    assert_eq!(scene.post("typeform", "3").await, 202);
    assert_eq!(scene.post("survey", "4").await, 503);
}

#[tokio::test]
async fn shipped_mappings_decides_which_bundled_sources_exist() {
    let scene = Scene::start().await;
    assert_eq!(scene.post("zapier", "1").await, 503);

    let config = scene.folder.path().join("relay.toml");
    write(&config, "shipped_mappings = [\"form\"]\n");
    scene.logs("applied mapping files: 34 bundled sources removed", 0).await;
    assert!(scene.relay.logged("`mappings` and `shipped_mappings` are applied now") > 0);
    write(&config, "shipped_mappings = true\n");
    scene.logs("applied mapping files: 34 bundled sources added", 0).await;
    assert_eq!(scene.relay.logged("zapier is off: the environment variable"), 1);

    let Scene { folder, relay, .. } = scene;
    relay.kill();
    write(&config, "shipped_mappings = false\n");
    let scene = Scene::start_in(folder).await;
    assert_eq!(scene.post("zapier", "1").await, 404);
    assert_eq!(scene.post("survey", "2").await, 202);
    assert!(!scene.relay.startup_output.contains("ready"), "{}", scene.relay.startup_output);
}

#[tokio::test]
async fn upgraded_relay_with_a_folder_says_once_which_bundled_sources_are_new() {
    let news = "New since the upgrade, beside the mapping files of your folder:";
    let scene = Scene::start().await;
    assert!(!scene.relay.startup_output.contains(news), "{}", scene.relay.startup_output);
    assert_eq!(scene.post("survey", "1").await, 202);
    scene.arrives("first 1").await;
    let Scene { folder, relay, .. } = scene;
    assert!(relay.stop().success());

    // As the last program without bundled sources under the folder has left it.
    let file = Connection::open(folder.path().join("relay.db")).unwrap();
    set_version(&file, 13);
    file.execute_batch("DROP TABLE bundled_sources; ALTER TABLE events DROP COLUMN may_repeat")
        .unwrap();
    drop(file);
    let Scene { folder, relay, .. } = Scene::start_in(folder).await;
    let first = relay.startup_output.clone();
    assert!(relay.stop().success());
    let again = Scene::start_in(folder).await;

    let (_, list) = first.split_once(news).unwrap_or_else(|| panic!("{first}"));
    for name in ["asana,", "typeform,", "zendesk\n", "shipped_mappings = false"] {
        assert!(list.contains(name), "{name} in {list}");
    }
    assert!(list.lines().take_while(|it| it.starts_with(' ')).all(|it| it.len() < 80), "{list}");
    assert!(!again.relay.startup_output.contains(news), "{}", again.relay.startup_output);
}
