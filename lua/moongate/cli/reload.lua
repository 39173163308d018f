-- SPDX-License-Identifier: MIT
--
-- `moongate reload`: has the running moongate take up what has changed, waits until it is live, and says what is wrong.

local check = require("moongate.cli.check")
local output = require("moongate.cli.output")
local control = require("moongate.control")
local text = require("moongate.text")
local unicode = require("moongate.unicode")

local reload = { summary = "Take up changed files, and wait until they are live." }

local PATH, PATIENCE, NAMED = "/api/v1/reload", 300, 10
local STATUS, QUIET, AGAIN = "/api/v1/status", 3, 30 -- seconds until it says what it waits for, and says so again

function reload.define(command)
  command:flag("--json", "Print the answer of POST " .. PATH .. ".")
end

-- "2 files changed (a.lua, b.lua)"
local function named(names, verb)
  local shown = { unpack(names, 1, math.min(#names, NAMED)) }
  if #names > NAMED then
    shown[#shown + 1] = "…"
  end
  return ("%s %s (%s)"):format(text.plural(#names, "file"), verb, table.concat(shown, ", "))
end

---"live: generation 12, 2 files changed (a.lua, b.lua), 34 ms"
---@param body table of the API's answer
---@return string
function reload.format(body)
  local parts = { ("generation %d"):format(body.generation or 0) }
  local changed, removed = body.changed or {}, body.removed or {}
  if body.config_changed then
    parts[#parts + 1] = "the config changed"
  end
  if #changed > 0 then
    parts[#parts + 1] = named(changed, "changed")
  end
  if #removed > 0 then
    parts[#parts + 1] = named(removed, "removed")
  end
  if #parts == 1 then
    parts[2] = "no route file has changed" -- nor the text of the config; what it requires may have
  end
  if body.ms then
    parts[#parts + 1] = ("%.0f ms"):format(body.ms)
  end
  return "live: " .. unicode.printable(table.concat(parts, ", "))
end

local function say_more(body)
  for _, warning in ipairs(body.warnings or {}) do
    output.warn("warning: ", check.format(warning), "\n")
  end
  for _, note in ipairs(body.notes or {}) do
    output.warn("a restart is needed: ", unicode.printable(note), "\n")
  end
  for _, fault in ipairs(body.faults or {}) do
    output.warn(check.format(fault), "\n")
  end
end

---"worker 2 is stuck for 37s in route web (web.lua)", or that it does not answer; nil: no worker is waited for.
---@param body table of the status
---@return string?
function reload.waiting(body)
  local number = (body.reload or {}).worker
  for _, worker in ipairs(number and body.stuck or {}) do
    if worker.number == number then
      return text.stuck_worker(worker)
    end
  end
  return number and ("worker %d does not answer"):format(number)
end

-- While the answer is not there.
local function tell(options, answer)
  local moongate, pause = require("moongate"), QUIET
  while true do
    moongate.sleep(pause)
    if answer.has_come then
      return
    end
    local code, body = control.get(options.control, STATUS)
    local why = not answer.has_come and code == 200 and type(body) == "table" and reload.waiting(body)
    if why then
      output.complain("the reload waits, and what was live stays: ", why)
    end
    pause = why and AGAIN or QUIET
  end
end

function reload.run(options)
  local answer = {}
  require("moongate").spawn(tell, options, answer)
  local code, body, raw = control.request(options.control, "POST", PATH, nil, PATIENCE)
  answer.has_come = true
  if not code then
    output.complain(body)
    return 1
  elseif type(body) ~= "table" or (code ~= 200 and not body.faults) then
    local why = type(body) == "table" and type(body.error) == "table" and body.error.message
    output.complain(why or ("%s answered with status %d"):format(PATH, code))
    return 1
  end
  local fine = code == 200 and #(body.faults or {}) == 0
  if options.json then
    output.raw(raw)
    return fine and 0 or 1
  end
  local first = (body.faults or {})[1]
  if first and (first.file or "") == "" and not body.faults[2] then -- of no file: nothing was looked at
    output.complain(first.message)
    return 1
  end
  if fine or #(body.changed or {}) + #(body.removed or {}) > 0 then
    output.write(reload.format(body), "\n")
  end
  say_more(body)
  if not fine then
    local count = text.plural(#(body.faults or {}), "fault")
    output.complain(count, "; what is at fault stays as it was")
  end
  return fine and 0 or 1
end

return reload
