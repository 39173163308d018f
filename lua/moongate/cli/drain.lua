-- SPDX-License-Identifier: MIT
--
-- `moongate drain`: has the running moongate stop in good order, says once a second what it waits for, and how it went.

local asking = require("moongate.cli.asking")
local output = require("moongate.cli.output")
local status = require("moongate.cli.status")
local control = require("moongate.control")
local text = require("moongate.text")

local drain = { summary = "Stop it: nothing new, and what runs may finish." }

local PATH, STATUS = "/api/v1/drain", "/api/v1/status"
local WIDTH = 79
local LONGEST = 365 * 86400 -- of waiting: how long the drain takes is for moongate to bound
local LEAVE = 10 -- seconds that the process has for its own end, once it is drained

function drain.define(command)
  command:option("--timeout", "End what is left after so long (default: timeouts.shutdown)."):argname("TIME")
    :convert(function(word)
      local ms = text.duration(tonumber(word) or word)
      return ms and ms / 1000, ("--timeout: expected a duration such as 30s or 5m, got '%s'"):format(word)
    end)
  command:flag("--json", "Print the answer of POST " .. PATH .. ".")
end

-- What is said while it drains: how many are left, and which workers hold it up.
local function progress(body)
  local lines = {}
  if (body.connections or {}).active ~= 0 then
    lines[1] = status.draining(body, WIDTH) .. "\n"
  end
  for _, worker in ipairs(body.stuck or {}) do
    lines[#lines + 1] = ("draining: %s\n"):format(text.stuck_worker(worker))
  end
  return table.concat(lines)
end

-- Once a second, until there is an answer: "draining: 3 connections left (…), …".
local function tell(options, answer)
  local moongate = require("moongate")
  while true do
    moongate.sleep(1)
    if answer.code ~= nil then
      return
    end
    local code, body = control.get(options.control, STATUS)
    if answer.code ~= nil then
      return
    elseif code == 200 and type(body) == "table" and body.draining then
      output.warn(progress(body))
    end
  end
end

-- The socket is closed when all is done: then its place, and its ports, are another's to take.
local function await_end(options)
  local moongate = require("moongate")
  local deadline = moongate.now() + LEAVE
  while moongate.now() < deadline and control.get(options.control, STATUS) do
    moongate.sleep(0.05)
  end
end

---"drained: every connection has ended by itself, 12s"
---@param body table of the API's answer
---@return string
function drain.format(body)
  local took = text.format_duration(body.seconds or 0)
  if (body.cut or 0) == 0 then
    return ("drained: every connection has ended by itself, %s"):format(took)
  end
  return ("stopped: %s had to be cut, after %s"):format(text.plural(body.cut, "connection"), took)
end

function drain.run(options)
  local answer = {}
  if not options.json then
    require("moongate").spawn(tell, options, answer)
  end
  local target = asking.target(PATH, options, { "timeout" })
  local body, raw, refusal, code = asking.post(options.control, target, LONGEST)
  answer.code = code or false
  if refusal == "cut" then
    return asking.fail("moongate has ended while it drained, before all was done: a thread hung, or it was told to end "
      .. "at once; the log says which")
  elseif not body then
    return asking.fail(raw)
  end
  await_end(options)
  if options.json then
    asking.print_raw(raw)
  else
    output.write(drain.format(body), "\n")
  end
  return (body.cut or 0) == 0 and 0 or 1
end

return drain
