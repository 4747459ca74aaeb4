"""shots.py FOLDER - pictures of the page: phone and desk, light and dark, well and in trouble.

For who changes the page: look at each of them. docs/page.png is page.png.
"""
import os
import sys
import time

from browser import await_true
from rig import Rig

CONF = r"""
app { view = "127.0.0.1:0", interval = 1.0 }
work "fetch_prices" { command = { "sh", "-c", "echo asking for {1}; sleep 0.4; echo got 1840 rows" }, parallel = true }
work "clean" { command = { "sh", "-c", "echo reading {1}; sleep 0.7; echo 12 rows left out >&2; echo done" }, parallel = true }
work "train_model" {
  command = { "sh", "-c", [[i=0; while [ $i -lt 99 ]; do i=$((i+1)); printf 'epoch %d  loss=0.%03d  val=0.%03d\n' $i $((900 - i * 7)) $((905 - i * 6))
    printf '{"lw": {"progress": 0.%02d}}\n' $i >&3; sleep 4; done]] },
  parallel = true,
}
work "evaluate" { command = { "sh", "-c", "sleep 1.5; echo accuracy 0.93" }, parallel = true }
work "publish" { command = { "sh", "-c", "echo uploading {name}; sleep 0.3; echo 'upload refused: 403 Forbidden (bucket models-eu)' >&2; exit 1" }, parallel = true, raise_exception = false, retries = 1, retry_delay = 0.5 }
work "report" { command = { "sh", "-c", "sleep 0.2; echo written" }, parallel = true, cache_calls = true }
work "inference" { command = { "sh", "-c", "echo listening on $PORT; exec sleep 1000" }, parallel = true, port = "auto", start_with_flow = true }
work "cleanup" { command = { "true" }, parallel = true }
function flow()
  lw.state.day = "2026-11-26"
  lw.schedule("daily"); lw.schedule("0 */6 * * *")
  inference:run()
  local slot = os.time() // 9 % 1000
  local prices = fetch_prices:run("eu-" .. slot)
  if clean:run("eu-" .. slot).has_succeeded then evaluate:run{ split = "test", slot = slot // 2 } end
  report:run("2026-11-26", slot // 3)
  train_model:run{ lr = 0.1, epochs = 99 }
  if TROUBLE then publish:run{ name = "model-v3" } end
end
"""

PLACES = [("overview", "#/"), ("work", "#/work/train_model"), ("run", None), ("output", "#/output")]
SIZES = [(1280, 800), (360, 740)]


def shoot(rig, folder, kind, places):
    for size in SIZES:
        rig.browser.resize(*size)
        for scheme in ["dark", "light"]:
            rig.browser.colours(scheme)
            for name, place in places:
                rig.browser.js("location.hash = arguments[0]", place)
                time.sleep(1.3)
                rig.browser.shot(os.path.join(folder, f"{kind}{name}-{size[0]}-{scheme}.png"))
    rig.browser.resize(1280, 800)
    rig.browser.colours("light")


def run_of(rig, work, stage):
    runs = rig.app.ask("GET", f"works/{work}/runs?limit=50")["runs"]
    return next((run["id"] for run in runs if run["stage"] == stage), None)


def main(folder, seconds):
    os.makedirs(folder, exist_ok=True)
    with Rig(CONF.replace("TROUBLE", "lw.state.trouble"), name="daily-models.conf", size=SIZES[0]) as rig:
        rig.browser.open(rig.app.address())
        rig.browser.js("document.documentElement.style.fontFamily = 'Inter, system-ui'")  # if it is there (fonts-inter)
        time.sleep(seconds)
        run = await_true("a run", lambda: run_of(rig, "train_model", "running"))
        shoot(rig, folder, "", [(name, place or f"#/run/{run}") for name, place in PLACES])
        rig.browser.resize(1280, 912)
        rig.browser.js("location.hash = '#/'")
        time.sleep(1.3)
        rig.browser.shot(os.path.join(folder, "page.png"))
        rig.browser.resize(*SIZES[0])
        rig.browser.js("location.hash = '#/work/train_model'")
        rig.browser.press("Run…")
        rig.browser.type("dialog textarea", '{"lr": 0.05, "epochs": 99}')
        time.sleep(1)
        rig.browser.shot(os.path.join(folder, "dialog-run.png"))
        rig.browser.press("Cancel", "dialog")
        rig.browser.press("Kill…")
        rig.browser.shot(os.path.join(folder, "dialog-kill.png"))
        rig.browser.press("Cancel", "dialog")
        rig.app.ask("PATCH", "state", {"trouble": True})
        rig.app.ask("POST", "works/cleanup/stop", {})
        failed = await_true("a failure", lambda: run_of(rig, "publish", "failed"))
        shoot(rig, folder, "trouble-", [("overview", "#/"), ("work", "#/work/publish"), ("run", f"#/run/{failed}")])
        rig.app.process.kill()
        rig.browser.js("location.hash = '#/'")
        time.sleep(4)
        rig.browser.shot(os.path.join(folder, "lost-1280-light.png"))
        rig.app.start()  # it stops the works


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60)
