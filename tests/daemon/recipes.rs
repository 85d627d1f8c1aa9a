//! The sign-ins of `docs/recipes.md` in the real binary, against a portal that answers as the sources
//! of RuoYi and JeecgBoot do: 200 always, with a `code` in the body.

use std::fs;
use std::path::Path;

use peers::Folder;
use peers::portal::{Answer, Portal, Session};
use peers::process::{Process, tethered};
use serde_json::{Value, json};

/// A platform as a recipe has it.
struct Platform {
    /// Where one signs in.
    login: &'static str,
    /// SockJS's first request.
    info: &'static str,
    accepted: Value,
    refused: Value,
    /// Why, in the platform's words.
    why: &'static str,
    /// What every later request and CONNECT must have.
    header: &'static str,
}

fn ruoyi() -> Platform {
    Platform {
        login: "POST /prod-api/login",
        info: "GET /prod-api/webSocketServer/info",
        accepted: json!({ "msg": "操作成功", "code": 200, "token": "eyJ.t0ken" }),
        refused: json!({ "msg": "验证码已失效", "code": 500 }),
        why: "验证码已失效",
        header: "Authorization:Bearer eyJ.t0ken",
    }
}

fn jeecgboot() -> Platform {
    Platform {
        login: "POST /jeecg-boot/sys/mLogin",
        info: "GET /jeecg-boot/webSocketServer/info",
        accepted: json!({
            "success": true, "message": "", "code": 200, "timestamp": 1,
            "result": { "userInfo": { "username": "bridge" }, "token": "eyJ.t0ken" },
        }),
        refused: json!({
            "success": false, "message": "用户名或密码错误", "code": 500, "timestamp": 1,
            "result": null,
        }),
        why: "用户名或密码错误",
        header: "X-Access-Token:eyJ.t0ken",
    }
}

fn answer(body: &str) -> Answer {
    Answer {
        status: "200 OK",
        headers: String::new(),
        body: body.to_owned(),
    }
}

/// The recipe's own configuration at this portal, and the daemon with it.
async fn start(platform: &Platform, login: &Value) -> (Portal, Process, Folder) {
    let info = r#"{"websocket":true,"origins":["*:*"],"cookie_needed":false,"entropy":1}"#;
    let places = vec![
        (platform.login, answer(&login.to_string())),
        (platform.info, answer(info)),
    ];
    let portal = Portal::start_with(Vec::new(), vec![Session::Stays], places).await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes.md");
    let page = fs::read_to_string(page).expect("read docs/recipes.md");
    let (_, path) = platform.login.split_once(' ').expect("a method and a path");
    let recipe = page
        .split("```toml\n")
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains(&format!("{path}\"")))
        .unwrap_or_else(|| panic!("docs/recipes.md has no configuration with {path}"));
    let at_the_portal = format!("http://{}", portal.address());
    let text = recipe.replace("https://platform.example.com", &at_the_portal);
    let folder = Folder::new("recipe");
    folder.write(
        "config.toml",
        &format!("{text}\n[http]\nlisten = \"127.0.0.1:0\"\n"),
    );
    let mut command = tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
    command
        .args([
            "run",
            "--config",
            folder.join("config.toml").to_str().unwrap(),
        ])
        .env_remove("RUST_LOG")
        .env_remove("STATE_DIRECTORY")
        .env("STOMP_BRIDGE_SECRET_PLATFORM", "hunter2");
    let daemon = Process::start("run", command, &folder.join("output"));
    (portal, daemon, folder)
}

#[tokio::test]
async fn the_sign_ins_of_the_recipes_lead_to_a_subscription() {
    for platform in [ruoyi(), jeecgboot()] {
        let (mut portal, mut daemon, _folder) = start(&platform, &platform.accepted).await;
        let login = portal.next(platform.login).await.text;
        assert!(
            login.ends_with("\n\n{\"password\":\"hunter2\",\"username\":\"bridge\"}"),
            "{login}"
        );
        let (name, value) = platform.header.split_once(':').unwrap();
        let header = format!("{name}: {value}\n").to_lowercase();
        let socket = platform.info.strip_suffix("info").unwrap();
        for request in [platform.info, socket] {
            let asked = portal.next(request).await.text.to_lowercase();
            assert!(asked.contains(&header), "{request}: {asked}");
        }
        let connect = portal.next("CONNECT").await.text;
        assert!(
            connect.contains(&format!("{}\n", platform.header)),
            "{connect}"
        );
        let subscribe = portal.next("SUBSCRIBE").await.text;
        assert!(
            subscribe.contains("destination:/topic/state/1\n"),
            "{subscribe}"
        );
        daemon
            .logged("it is live", |line| line.contains("\"message\":\"live\""))
            .await;
        let log = daemon.log();
        assert!(!log.contains("t0ken") && !log.contains("hunter2"), "{log}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_recipes_platforms_has_their_words() {
    for platform in [ruoyi(), jeecgboot()] {
        let (_portal, mut daemon, _folder) = start(&platform, &platform.refused).await;
        daemon
            .logged(platform.why, |line| {
                line.contains("sign-in refused") && line.contains(platform.why)
            })
            .await;
    }
}
