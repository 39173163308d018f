-- SPDX-License-Identifier: MIT
--
-- `bench/run route`: what choosing one route among 100, 10,000 and 100,000 domains costs, timed by itself (route.c),
-- and as connections pay for it, beside others (route_traffic.lua).

local cjson = require "cjson"
local process = require "process"
local traffic = require "route_traffic"

local route = {}

local COUNTS = { 100, 10000, 100000 }
local TARGET_NS, TARGET_RATIO = 250, 1.5

local function measure(options, core, count)
  local child = process.start({ options.programs .. "/route", tostring(count) }, { core = core, output = true })
  local text, err = process.read(child, 120)
  local fine = process.finish(child, 10)
  local decoded, figures = pcall(cjson.decode, text or "")
  if not (fine and decoded) then
    return nil, err or "route failed"
  end
  return figures
end

-- The best of the rounds: what disturbs only adds.
local function best_of(options, core, count)
  local best
  for _ = 1, options.rounds or (options.quick and 1 or 5) do
    local figures, err = measure(options, core, count)
    if not figures then
      return nil, err
    end
    best = best or figures
    for key, value in pairs(figures) do
      if type(value) == "number" then
        best[key] = math.min(best[key], value)
      end
    end
  end
  return best
end

---Measures and prints. True, or nil and what went wrong.
function route.run(run)
  local first, last
  print "\nroute choice, nanoseconds each (CPU; names in random order; half of the routes are wildcards)"
  print(("  %9s %9s %9s %9s %10s"):format("domains", "present", "wildcard", "absent", "build, ms"))
  for _, count in ipairs(COUNTS) do
    local figures, err = best_of(run.options, run.proxy_core, count)
    if not figures then
      return nil, err
    end
    print(("  %9d %9.0f %9.0f %9.0f %10.1f"):format(count, figures.present_ns, figures.wildcard_ns, figures.absent_ns,
      figures.build_ms))
    first, last = first or figures, figures
  end
  local ratio = last.present_ns / first.present_ns
  local function verdict(reached)
    return reached and "reached" or "missed"
  end
  print(("  among 100,000: %.0f ns (at most %d: %s), %.2f times that among 100 (at most %.1f: %s)"):format(
    last.present_ns, TARGET_NS, verdict(last.present_ns <= TARGET_NS), ratio, TARGET_RATIO,
    verdict(ratio <= TARGET_RATIO)))
  return traffic.run(run)
end

return route
