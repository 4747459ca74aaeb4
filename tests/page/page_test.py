"""page_test.py - the page in a real browser, on a real supervisor.

    page_test.py --list | NAME...     each test_NAME() is a test of ctest (label page)

Every test ends with a look at the browser's console: it has to be empty.
"""
import os
import resource
import sys
import time

from browser import Failure, await_true
from rig import BIN, Rig

HEAD = 'app { view = "127.0.0.1:0", interval = 1.0 }\n'

# Says what it is told, on both streams, and answers with it.
ECHO = r"""
work "echo" {
  command  = { "sh", "-c", [[echo "hello $1"; echo "warned $1" >&2; printf '{"said": "%s"}\n' "$1" >&3]], "sh", "{1}" },
  parallel = true,
}
"""
STILL = "function flow() end\n"

# Runs until it is killed; prints what is appended to a file.
FOLLOWED = r"""
work "tail" { command = { "sh", "-c", "touch lines; exec tail -n +1 -f lines" }, parallel = true }
function flow() tail:run() end
"""

FAILING = r"""
work "fragile" {
  command  = { "sh", "-c", "test -e mended && exit 0; echo 'the disk is <b>full</b>' >&2; exit 3" },
  parallel = true, raise_exception = false,
}
function flow() fragile:run("daily") end
"""


def opened(conf, **how):
    """A rig whose browser has opened the printed address."""
    return Opened(HEAD + conf, **how)


class Opened(Rig):
    def __enter__(self):
        super().__enter__()
        try:
            self.browser.open(self.app.address())
            await_true("the page to be live", lambda: self.browser.find(".top .link.live"))
        except BaseException as failure:
            self.__exit__(type(failure), failure, None)
            raise
        return self

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                same([], self.browser.complaints())
        except BaseException as failure:
            super().__exit__(type(failure), failure, None)
            raise
        super().__exit__(kind, error, trace)


def same(expected, found):
    if expected != found:
        raise Failure(f"expected {expected!r}, found {found!r}")


def go(rig, place):
    rig.browser.js("location.hash = arguments[0]", place)


def stage_of(rig, run):
    return rig.app.ask("GET", f"runs/{run}").get("stage")


# ---- the address ---------------------------------------------------------------------------------


def test_the_printed_address_opens_it_and_the_token_leaves_the_bar():
    with opened(ECHO + STILL) as rig:
        rig.browser.sees("echo", ".works")
        rig.browser.sees("All is well", ".verdict")
        same(rig.app.address().split("?")[0], rig.browser.address())
        same("", rig.browser.js("return document.cookie"))
        rig.browser.open(rig.browser.address())
        rig.browser.sees("echo", ".works")


def test_a_wrong_token_is_told_where_the_right_one_is():
    with Rig(HEAD + ECHO + STILL) as rig:
        rig.browser.open(rig.app.address().split("token=")[0] + "token=" + "0" * 32)
        rig.browser.sees("token")
        rig.browser.sees("lwctl")
        same(0, len(rig.browser.find(".works")))


def test_a_page_whose_token_is_no_longer_good_says_so():
    with opened(ECHO + STILL) as rig:
        rig.browser.devtools("Network.clearBrowserCookies")
        go(rig, "#/work/echo")
        rig.browser.sees("needs the address with its token", "main")
        rig.browser.sees("lwctl -c app.conf status", "main")
        rig.browser.complaints()  # the 401 itself


def test_an_unknown_work_or_run_is_told_of():
    with opened(ECHO + STILL) as rig:
        for place, says in [("#/work/ecko", "did you mean 'echo'?"), ("#/run/99", "no run '99'"), ("#/run/x%", "All is well"), ("#/nowhere", "All is well")]:
            go(rig, place)
            rig.browser.sees(says, "main")
        same([], [line for line in rig.browser.complaints() if "404" not in line and "400" not in line])


def test_of_a_work_that_is_not_there_nothing_more_is_asked():
    with opened(ECHO + STILL) as rig:
        rig.browser.js("""window.asked = []; const before = window.fetch;
            window.fetch = (...all) => { window.asked.push(all[0]); return before(...all); };""")
        go(rig, "#/work/ecko")
        rig.browser.sees("no work 'ecko'", "main")
        for said in "again", "and again":  # whatever happens makes the page look
            rig.app.ask("POST", "works/echo/run", {"args": [said]})
            seen = rig.browser.js("return window.asked.length")
            await_true("a look", lambda: rig.browser.js("return window.asked.length") > seen)
        same(["/api/v1/works/ecko?usage=true"], rig.browser.js("return window.asked.filter((url) => url.includes('ecko'))"))
        same("← All works ecko no work 'ecko' (did you mean 'echo'?)", rig.browser.words("main"))
        same(1, len(rig.browser.complaints()))
        rig.browser.click(".back")
        rig.browser.click(".row a")
        rig.browser.sees("succeeded", ".says")
        rig.browser.button("Follow")


# ---- steering ------------------------------------------------------------------------------------


def test_a_run_with_arguments_prints_its_line_and_shows_its_result():
    with opened(ECHO + STILL) as rig:
        go(rig, "#/work/echo")
        rig.browser.press("Run…")
        rig.browser.type("dialog textarea", '["moon"]')
        rig.browser.sees("It would run", "dialog")
        rig.browser.press("Run", "dialog")
        rig.browser.sees("Run 1", "h1")
        rig.browser.sees("succeeded", ".says")
        rig.browser.sees("hello moon", ".output")
        rig.browser.sees('{"said": "moon"}', "pre")
        rig.browser.js("history.back()")
        rig.browser.sees('"moon"', ".list")
        rig.browser.sees("hello moon", ".output")
        go(rig, "#/")
        rig.browser.sees("1 ran", ".works")


def test_what_a_call_would_do_is_said_before_it_is_made():
    with opened(ECHO + STILL) as rig:
        rig.app.ask("POST", "works/echo/run", {"args": ["moon"]})
        go(rig, "#/work/echo")
        rig.browser.press("Run…")
        for text, says in [('["moon"]', "It would be skipped"), ('["sun"]', "It would run"), ("sun", "write [\"sun\"]"),
                           ('["sun', "no JSON"), ('lr=1 {"lr": 2}', "given twice"), ('["moon"] lr=0.5', "It would run")]:
            rig.browser.type("dialog textarea", text)
            rig.browser.sees(says, "dialog")
        rig.browser.type("dialog textarea", '["moon"]')
        rig.browser.sees("succeeded as run 1", "dialog")
        rig.browser.press("Run", "dialog")
        rig.browser.sees("Skipped", ".toasts")
        rig.browser.sees("Run 1", "h1")


def test_numbers_beyond_those_of_javascript_stay_what_they_are():
    with opened(ECHO + STILL) as rig:
        go(rig, "#/work/echo")
        rig.browser.press("Run…")
        rig.browser.type("dialog textarea", "[9007199254740993]")
        rig.browser.sees("It would run", "dialog")
        rig.browser.press("Run", "dialog")
        rig.browser.sees("hello 9007199254740993", ".output")
        same([9007199254740993], rig.app.ask("GET", "runs/1")["args"])
        rig.browser.press("Run with other arguments…")
        rig.browser.sees("It would be skipped", "dialog")
        same("[9007199254740993]", rig.browser.js("return document.querySelector('dialog textarea').value"))
        rig.browser.type("dialog textarea", "[1e400]")
        rig.browser.sees("It would be refused", "dialog")
        rig.browser.sees("real number overflow", "dialog")
        rig.browser.type("dialog textarea", '[-9223372036854775808, 1e+20, 1.0, 0.12345678901234568] {"b": [9007199254740993]} c=18446744073709551615 d=[9007199254740995]')
        rig.browser.sees("It would be refused", "dialog")
        rig.browser.type("dialog textarea", '[-9223372036854775808, 1e+20, 1.0, 0.12345678901234568] {"b": [9007199254740993]} c={"$int":"18446744073709551615"} d="9007199254740993"')
        rig.browser.sees("It would run", "dialog")
        rig.browser.press("Run", "dialog")
        rig.browser.sees("Run 2", "h1")
        run = rig.app.ask("GET", "runs/2")
        same([-9223372036854775808, 1e20, 1.0, 0.12345678901234568], run["args"])
        same({"b": [9007199254740993], "c": {"$int": "18446744073709551615"}, "d": "9007199254740993"}, run["kwargs"])
        rig.browser.press("Run with other arguments…")
        rig.browser.sees("It would be skipped", "dialog")
        rig.browser.press("Cancel", "dialog")
        rig.browser.press("Forget…")
        rig.browser.press("Forget", "dialog")
        rig.browser.sees("The call is forgotten", ".toasts")
        rig.browser.press("Run with other arguments…")
        rig.browser.sees("It would run", "dialog")
        same([], [line for line in rig.browser.complaints() if "400" not in line])


def test_kill_asks_once_and_its_run_is_stopped():
    with opened(FOLLOWED) as rig:
        await_true("a run", lambda: stage_of(rig, 1) == "running")
        go(rig, "#/work/tail")
        rig.browser.press("Kill…")
        rig.browser.sees("Run 1 will be stopped", "dialog")
        same("Cancel", rig.browser.js("return document.activeElement.innerText"))
        rig.browser.key("Enter")
        await_true("no dialog", lambda: not rig.browser.find("dialog"))
        same("running", stage_of(rig, 1))
        rig.browser.press("Kill…")
        rig.browser.press("Kill tail", "dialog")
        rig.browser.sees("killed by operator", ".says")
        same("stopped", stage_of(rig, 1))


def test_a_stopped_work_is_started_again():
    with opened(FOLLOWED) as rig:
        await_true("a run", lambda: stage_of(rig, 1) == "running")
        go(rig, "#/work/tail")
        rig.browser.press("Stop…")
        rig.browser.sees("will be asked to end", "dialog")
        rig.browser.press("Stop tail", "dialog")
        rig.browser.sees("stopped by an operator", ".says")
        rig.browser.press("Start")
        rig.browser.button("Stop…")


def test_a_failed_run_shows_its_error_and_is_retried():
    with opened(FAILING) as rig:
        rig.browser.sees("fragile is in trouble", ".verdict")
        rig.browser.press("Trouble 1")
        rig.browser.click(".row a")
        rig.browser.sees("the disk is <b>full</b>", ".says")
        rig.browser.click(".list a")
        rig.browser.sees("the disk is <b>full</b>", ".error")
        rig.browser.sees("exit status 3", ".says")
        rig.app.write("mended", "")
        rig.browser.press("Retry")
        rig.browser.sees("succeeded", ".says")
        go(rig, "#/")
        rig.browser.sees("All is well", ".verdict")


def test_a_work_is_paused_and_resumed():
    with opened(ECHO + STILL) as rig:
        go(rig, "#/work/echo")
        rig.browser.press("Pause")
        rig.browser.sees("paused by", ".says")
        rig.browser.press("Resume")
        rig.browser.sees("was not called yet", ".says")


def test_the_flow_is_paused_and_resumed():
    with opened(FOLLOWED) as rig:
        rig.browser.press("Pause passes")
        rig.browser.sees("The flow is paused by", ".banners")
        rig.browser.press("Resume passes")
        await_true("no banner", lambda: "paused" not in rig.browser.text(".banners"))


def test_why_a_call_ran_or_was_skipped():
    with opened(ECHO + 'function flow() echo:run("moon"); echo:run("sun") end') as rig:
        go(rig, "#/work/echo")
        rig.browser.sees("skipped: succeeded as run", ".list")
        go(rig, "#/run/2")
        rig.browser.sees('argument 1 was "moon", is "sun"', ".facts")


def skipped(rig, selector):
    """How many skips a lane says it shows."""
    label = rig.browser.js("return document.querySelector(arguments[0])?.getAttribute('aria-label') ?? ''", selector)
    return sum(int(part.split()[0]) for part in label.split(": ", 1)[-1].split(", ") if part.endswith(" skipped"))


def test_skips_of_before_it_was_opened_are_shown_and_each_is_counted_once():
    with Rig(HEAD + ECHO + STILL) as rig:
        rig.app.ask("POST", "works/echo/run", {"args": ["moon"]})
        for _ in range(7):
            rig.app.ask("POST", "works/echo/run", {"args": ["moon"]})
        rig.browser.open(rig.app.address())
        await_true("the skips", lambda: skipped(rig, ".row canvas") == 7)
        rig.app.ask("POST", "works/echo/run", {"args": ["moon"]})
        await_true("one more", lambda: skipped(rig, ".row canvas") == 8)
        go(rig, "#/work/echo")
        await_true("all of them", lambda: skipped(rig, "canvas.bars") == 8)
        rig.app.ask("POST", "works/echo/run", {"args": ["moon"]})
        await_true("one more", lambda: skipped(rig, "canvas.bars") == 9)
        for _ in range(2):
            rig.browser.do("POST", "/refresh", {})
            await_true("the same again", lambda: skipped(rig, "canvas.bars") == 9)
        page = rig.browser.do("GET", "/window")
        other = rig.browser.do("POST", "/window/new", {"type": "tab"})["handle"]
        rig.browser.do("POST", "/window", {"handle": other})
        for _ in range(3):
            rig.app.ask("POST", "works/echo/run", {"args": ["moon"]})
        rig.browser.do("DELETE", "/window")
        rig.browser.do("POST", "/window", {"handle": page})
        await_true("those that were made unseen", lambda: skipped(rig, "canvas.bars") == 12)
        rig.app.ask("POST", "works/echo/run", {"args": ["moon"]})  # is the only one more
        await_true("the last one", lambda: skipped(rig, "canvas.bars") == 13)
        same([], rig.browser.complaints())


# ---- output --------------------------------------------------------------------------------------


def test_output_is_followed_and_searched():
    with opened(FOLLOWED) as rig:
        await_true("a run", lambda: stage_of(rig, 1) == "running")
        go(rig, "#/work/tail")
        for i in range(3):
            rig.app.write("lines", f"line {i} of it\n")
            rig.browser.sees(f"line {i} of it", ".output")
        rig.browser.type(".output input", "line 1")
        await_true("one line", lambda: rig.browser.text(".output .text") == "line 1 of it")
        rig.browser.type(".output input", "of")
        rig.browser.sees("line 2 of it", ".output")
        rig.app.write("lines", "a fourth of it\nnothing\n")
        rig.browser.sees("a fourth of it", ".output")
        go(rig, "#/output")
        rig.browser.sees("nothing", ".output")


def test_lines_of_the_supervisor_are_errors_only_when_they_say_so():
    dying = 'work "dying" { program = "/bin/false", restart = "never", parallel = true }\n'
    with opened(dying + ECHO + FAILING) as rig:
        rig.app.ask("POST", "works/echo/run", {"args": ["moon"]})
        go(rig, "#/output")
        rig.browser.sees("info: audit", ".output")
        rig.browser.sees("error: work=dying", ".output .line.err")
        rig.browser.sees("warning: work=fragile run=1 failed", ".output .line.warn")
        rig.browser.sees("warned moon", ".output .line.err")
        same(0, rig.browser.js("""return [...document.querySelectorAll('.output .line')].filter((line) => {
            const first = line.querySelector('.text').textContent.split(' ')[0];
            return first === 'info:' && line.matches('.err, .warn') || first === 'warning:' && line.matches('.err'); }).length"""))


def test_output_begins_with_its_first_line_when_asked():
    with opened('work "count" { command = { "seq", "12000" }, parallel = true }\n' + STILL) as rig:
        rig.app.ask("POST", "works/count/run", {})
        go(rig, "#/work/count")
        rig.browser.sees(" 12000", ".output .lines")
        rig.browser.press("From the first line")
        await_true("the first lines", lambda: rig.browser.js("return document.querySelector('.output .text')?.innerText") == "1")
        rig.browser.press("Go on")
        rig.browser.press("Go on")
        await_true("the last", lambda: rig.browser.js("return [...document.querySelectorAll('.output .text')].at(-1)?.textContent") == "12000")


def test_hostile_output_is_text():
    conf = r"""
work "villain" {
  command = { "sh", "-c", [[printf '<script>document.title = "taken"</script>\n<img src=x onerror="document.title=1">\n'
    printf '\033[31mred\033[0m \033]0;title\007 \033[2Jcleared \010 back\n'
    head -c 1048576 /dev/zero | tr '\0' 'x'; echo; echo '<b>bold</b>' >&2; exit 1]] },
  parallel = true, raise_exception = false,
}
function flow() villain:run("</script><script>document.title='taken'</script>", lw.map{ ["<i>"] = "\u{202e}reversed" }) end
"""
    with opened(conf) as rig:
        await_true("its end", lambda: stage_of(rig, 1) == "failed")
        for place in ["#/", "#/work/villain", "#/run/1", "#/output"]:
            go(rig, place)
            rig.browser.sees("villain")
            if place != "#/":
                rig.browser.sees("<img src=x onerror", ".output")
                rig.browser.sees("bold", ".output")
            same(0, rig.browser.js("return document.querySelectorAll('main script, main img, main b:not(.choice b), main i').length"))
            same(False, "taken" in rig.browser.js("return document.title"))
        go(rig, "#/run/1")
        rig.browser.sees("red", ".output .sgr-31")
        longest = "return Math.max(...[...document.querySelectorAll('.output .text')].map((node) => node.textContent.length))"
        same(True, rig.browser.js(longest) < 5000)


# ---- the supervisor goes and comes ----------------------------------------------------------------


def test_a_lost_supervisor_is_told_of_and_regained():
    with opened(FOLLOWED.replace("function flow", ECHO + "function flow")) as rig:
        port = rig.app.address().split("/view")[0].rsplit(":", 1)[1]
        await_true("a run", lambda: stage_of(rig, 1) == "running")
        go(rig, "#/work/tail")
        rig.browser.button("Stop…")
        rig.browser.js("window.stays = true")
        rig.app.kill()
        rig.browser.sees("No connection to the supervisor since", ".banners")
        same(0, rig.browser.js("return [...document.querySelectorAll('.head button')].filter((node) => !node.disabled).length"))
        same("lost", rig.browser.js("return document.querySelector('.top .link').className.split(' ')[1]"))
        with open(rig.app.conf, "r+", encoding="utf-8") as file:
            conf = file.read().replace("127.0.0.1:0", f"127.0.0.1:{port}")
            file.seek(0)
            file.write(conf)
        rig.app.start()
        rig.browser.sees("live", ".top")
        rig.browser.button("Stop…")
        rig.app.write("lines", "after the crash\n")
        rig.browser.sees("after the crash", ".output")
        same(True, rig.browser.js("return window.stays"))
        same("", rig.browser.text(".banners"))
        refused = [line for line in rig.browser.complaints() if "ERR_" not in line]
        same([], refused)


def test_a_record_that_cannot_be_written_is_the_first_thing_told():
    with opened(ECHO + STILL) as rig:
        most = resource.prlimit(rig.app.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(rig.app.process.pid, resource.RLIMIT_FSIZE, (4096, most[1]))
        rig.app.ask("POST", "works/echo/run?wait=false", {"args": ["moon"]})
        rig.browser.sees("The record cannot be written, so no run starts", ".banners")
        rig.browser.sees("Nothing starts", ".verdict")
        resource.prlimit(rig.app.process.pid, resource.RLIMIT_FSIZE, most)
        rig.browser.sees("All is well", ".verdict")
        rig.browser.sees("1 ran", ".works")


# ---- many ------------------------------------------------------------------------------------------


def test_a_thousand_works_do_not_lag():
    conf = 'for i = 1, 1000 do work("work " .. i) { command = { "true" }, parallel = true } end\n' \
           'function flow() for i = 1, 40 do works["work " .. i * 25]:run(i) end end'
    with opened(conf) as rig:
        rig.browser.sees("All 1,000", ".tools")
        rig.browser.type(".tools input", "work 975")
        rig.browser.sees("1 ran", ".works")
        rig.browser.type(".tools input", "work")
        # What the page itself does for one picture: none is lost at 60 a second, with room for a slow machine.
        rig.browser.js("""window.took = []; const frame = window.requestAnimationFrame;
            window.requestAnimationFrame = (draw) => frame((at) => { const from = performance.now(); draw(at); window.took.push(performance.now() - from); });""")
        await_true("pictures", lambda: rig.browser.js("return window.took.length") >= 5)
        took = sorted(rig.browser.js("return window.took"))
        print(f"a picture of 1000 works: median {took[len(took) // 2]:.1f} ms, longest {took[-1]:.1f} ms")
        same(True, took[len(took) // 2] < 50)
        same(True, rig.browser.js("return document.querySelectorAll('.row').length") < 60)
        rig.browser.js("scrollTo(0, document.body.scrollHeight)")
        rig.browser.sees("work 1000", ".works")
        rig.browser.type(".tools input", "work 77")
        await_true("those found", lambda: rig.browser.js("return document.querySelectorAll('.row').length") == 11)


def test_a_hundred_thousand_runs_do_not_lag():
    conf = """
work "square" { program = "%s", parallel = true, queue_limit = 200000 }
function flow()
  local from = lw.state.from or 0
  if from == 100000 or square.num_successes < from then return end
  for i = from + 1, from + 10000 do square:run{ value = i } end
  lw.state.from = from + 10000
end""" % os.path.join(BIN, "../examples/square")
    with opened(conf) as rig:
        await_true("all runs", lambda: rig.app.ask("GET", "works/square")["runs"]["succeeded"] == 100000, 120)
        from_ = time.monotonic()
        rig.browser.open(rig.app.address())
        rig.browser.sees("100,000 ran", ".works")
        print(f"opened with 100,000 runs on record in {time.monotonic() - from_:.2f} s")
        go(rig, "#/work/square")
        rig.browser.sees("run 100000", ".list")
        rig.browser.press("Load earlier runs", ".panel")
        await_true("more runs", lambda: rig.browser.js("return document.querySelectorAll('.list.long li').length") >= 250)


def test_it_asks_once_a_second_at_most_and_not_at_all_while_hidden():
    busy = """
work "tick" { command = { "true" }, parallel = true, cache_calls = false }
function flow() tick:run() end"""
    with opened(busy) as rig:
        rig.browser.sees("ran", ".works")
        rig.browser.js("""document.addEventListener("visibilitychange", () => { window.wasHidden ||= document.hidden; });
            window.asked = []; const before = window.fetch;
            window.fetch = (...all) => { window.asked.push([performance.now(), document.hidden]); return before(...all); };""")
        await_true("five requests", lambda: rig.browser.js("return window.asked.length") >= 5)
        times = [at for at, _ in rig.browser.js("return window.asked")]
        same([], [later - at for at, later in zip(times, times[1:]) if later - at < 990])
        page = rig.browser.do("GET", "/window")
        other = rig.browser.do("POST", "/window/new", {"type": "tab"})["handle"]
        rig.browser.do("POST", "/window", {"handle": other})
        ran = rig.app.ask("GET", "works/tick")["misses"]
        await_true("three runs more", lambda: rig.app.ask("GET", "works/tick")["misses"] >= ran + 3)
        rig.browser.do("DELETE", "/window")
        rig.browser.do("POST", "/window", {"handle": page})
        same(True, rig.browser.js("return window.wasHidden"))
        same([], [at for at, hidden in rig.browser.js("return window.asked") if hidden])
        seen = rig.browser.js("return window.asked.length")
        await_true("requests when it is seen again", lambda: rig.browser.js("return window.asked.length") > seen)


# ---- for everybody ----------------------------------------------------------------------------------


def test_keys_reach_everything():
    with opened(ECHO + FAILING) as rig:
        rig.browser.sees("fragile", ".works")
        rig.browser.key("?")
        rig.browser.sees("next, previous work", "dialog")
        rig.browser.key("Escape")
        await_true("no dialog", lambda: not rig.browser.find("dialog"))
        rig.browser.key("j")
        rig.browser.key("j")
        same("fragile", rig.browser.js("return document.activeElement.innerText"))
        rig.browser.key("k")
        rig.browser.key("Enter")
        rig.browser.sees("echo", "h1")
        rig.browser.button("Run…")
        rig.browser.key("r")
        rig.browser.sees("Run echo", "dialog")
        rig.browser.key("Escape")
        await_true("no dialog", lambda: not rig.browser.find("dialog"))
        rig.browser.key("/")
        same("Search the output", rig.browser.js("return document.activeElement.getAttribute('aria-label')"))
        rig.browser.key("Escape")
        rig.browser.key("Escape")
        rig.browser.sees("fragile", ".works")
        rig.browser.key("/")
        rig.browser.key("x")
        rig.browser.sees("No work is like that", ".works")


def test_it_fits_a_phone_and_everything_has_a_name():
    with opened(ECHO + FAILING, size=(360, 740)) as rig:
        await_true("a run", lambda: stage_of(rig, 1) == "failed")
        for place, there in [("#/", "fragile"), ("#/work/fragile", "Retry failed…"), ("#/run/1", "Forget…"), ("#/output", "Output")]:
            go(rig, place)
            rig.browser.sees(there)
            same(360, rig.browser.js("return document.documentElement.scrollWidth"))
            same([], rig.browser.js("""return [...document.querySelectorAll('button, input, select, textarea, a[href], canvas[role]')].filter((node) =>
                !(node.getAttribute('aria-label') || node.innerText?.trim() || node.labels?.length)).map((node) => node.outerHTML)"""))


def tests():
    return {name[5:]: test for name, test in globals().items() if name.startswith("test_")}


def main(words):
    if words == ["--list"]:
        print("\n".join(tests()))
        return 0
    failed = 0
    for name in words or tests():
        try:
            tests()[name]()
            print(f"ok      {name}")
        except Failure as failure:
            print(f"FAILED  {name}: {failure}")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
