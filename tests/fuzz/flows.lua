-- Bodies of flow() that fuzz_seeds makes seeds of, one between two lines of "----". The works w
-- (which ends the pass) and p (parallel) are there; results are the call's positional arguments,
-- state.named its named ones; every other run fails. Names of fields are for the fuzzer to find.
----
local r = p:run(1, "a", { x = { 1, 2 } })
print(r.stage, r.result, r.key, r.id, r.attempt, r.cached, r.decision, r.progress, r)
print(r.created, r.started, r.ended, r.statuses, r.work, r.error, r.reason, r.has_timeout)
w:run()
----
p:run{ value = 1 }
p:run(lw.map{ a = 1 }, lw.list{}, lw.null, lw.bytes("\xff"))
----
p:run(1)
print(p.status.stage, #p.statuses, p.url, p.is_ready, p.num_successes, p.num_failures, p.num_timeouts)
print(p.has_started, p.is_pending, p.is_running, p.has_succeeded, p.has_failed, p.has_stopped)
p:stop()
p:start()
p:restart()
p:kill()
p:forget(1)
----
lw.state.x = { 1, { y = 2 } }
for k, v in pairs(lw.state) do print(k, v, #v, v[2].y) end
lw.state.x = nil
----
p:run{ deep = { 1, { y = 2 } } }
for k, v in pairs(p.state) do print(k, v) end
if p.state.named then
  for k, v in pairs(p.state.named) do print(k, v, #v, v == p.state.named.deep, v[2].y) end
  p.state.named.deep = 3
end
----
for i = 1, 2 do
  local r = p:run({ 1, { y = 2 } }, lw.bytes("b"), i)
  if r.has_succeeded then
    for k, v in pairs(r.result[1]) do print(k, v, r.result[2] .. "b", #r.result) end
  end
end
----
local ok, e = pcall(p.run, p, 1)
print(ok, e, pcall(function() return e .. "", e.run, e.message, e.reason end))
----
local at = lw.schedule("hourly")
if at then p:run(at) end
print(lw.schedule("*/5 1-3 * jan mon"), pcall(lw.schedule, "61 * * * *"))
----
print(pcall(function() w:run(1) end))
lw.fail("no")
----
local c = coroutine.wrap(function() coroutine.yield(w:run(1)) end)
c()
lw.stop("done")
----
local c = coroutine.create(function(...)
  print(coroutine.running(), coroutine.isyieldable())
  coroutine.yield(...)
  error("behind it")
end)
print(coroutine.resume(c, 1), coroutine.status(c), coroutine.resume(c), coroutine.close(c))
----
local x <close> = setmetatable({}, { __close = function() p:run(3) end })
w:run(1)
----
for i = 1, 20 do
  work("s" .. i) { command = { "true" }, parallel = true, overlap = "latest" }
  works["s" .. i]:run(i)
end
for name, work in pairs(works) do print(name, work) end
----
works["p"]:run(0 / 0, 1 / 0, -0.0, 1 << 62, 2 ^ 63)
print(works["q"])
----
error(setmetatable({}, { __tostring = function() return "e" end }))
----
print(xpcall(error, function(e) return e end, lw.null))
print(load("return 1")(), pcall(require, "a.b"), os.date(), os.getenv("A"))
----
print(pcall(io.open, "x"), pcall(os.exit), pcall(function() return debug.x end))
----
local t = {}
t.t = t
print(pcall(p.run, p, t), pcall(p.run, p, print), pcall(p.run, p, { 1, x = 2 }))
----
for _, x in ipairs{ p:run(1), p, p.state, lw.state, works, lw, lw.null, lw.bytes("a") } do
  print(x, x == p, pcall(function() return #x end), pcall(function() return x .. "" end))
end
----
while true do end
----
local t = {}
for i = 1, 1e9 do t[i] = ("x"):rep(1000) end
