-- SPDX-License-Identifier: MIT
--
-- `moongate kill`: ends connections, those that are named, or those that a filter means; of the latter it shows first
-- which they are, and asks.

local address = require("moongate.cli.address")
local asking = require("moongate.cli.asking")
local conns = require("moongate.cli.conns")
local output = require("moongate.cli.output")
local which = require("moongate.cli.which")
local json = require("moongate.json")
local text = require("moongate.text")

local kill = { summary = "End connections: by their IDs, or those that filters mean." }

local PATH = "/api/v1/connections"
local SHOWN = 10 -- of those that are asked about
local AT_ONCE = 256 -- ids in a request
local PATIENCE = 60

function kill.define(command)
  command:argument("id", "IDs of connections, as moongate conns shows them."):args("*")
  which.define(command)
  command:flag("--yes", "Don't ask first.")
  command:flag("--json", "Print the answer of DELETE " .. PATH .. ".")
end

-- What the options can't mean; nil: nothing is wrong.
local function fault_of(options)
  if #options.id > 0 and which.is_said(options) then
    return "IDs or filters say which, not both"
  elseif #options.id == 0 and not which.is_said(options) then
    return "which ones? name their IDs, or say --stuck, --route, --client or another filter"
  end
  for _, id in ipairs(options.id) do
    if not address.is_connection(id) then
      return ("'%s' is no ID of a connection; moongate conns shows them"):format(id)
    end
  end
end

-- Who is asked: the terminal that the answer is typed into.
local function is_told_to(question)
  io.stderr:write(question, " [y/N] ")
  local answer = (io.stdin:read("*l") or ""):lower()
  return answer == "y" or answer == "yes"
end

-- Shows those that are meant. Whether to go on; else the exit status.
local function ask(options)
  if not require("moongate.native").defaults().terminal then
    output.complain("nobody can be asked here: --yes ends them without a question")
    return nil, 2
  end
  local shown = { limit = SHOWN }
  for _, name in ipairs(which.FILTERS) do
    shown[name] = options[name]
  end
  local target = asking.target(PATH, shown, { "limit", unpack(which.FILTERS) })
  local body, raw, _, code = asking.get(options.control, target)
  if not body then
    return nil, asking.fail(raw, code)
  end
  output.warn(conns.format(body, options.stuck, nil, options.control))
  if body.total == 0 then
    return nil, 0
  elseif not is_told_to(("End %s?"):format(text.plural(body.total, "connection"))) then
    output.warn("none was ended\n")
    return nil, 1
  end
  return true
end

-- One answer of several: what they sum up to.
local function add(sum, body)
  sum.killed, sum.open = (sum.killed or 0) + body.killed, body.open
  sum.waiting, sum.stuck = math.max(sum.waiting or 0, body.waiting), sum.stuck or body.stuck
  sum.complete = sum.complete ~= false and body.complete
  if body.unknown then
    sum.unknown = json.list(sum.unknown)
    for _, id in ipairs(body.unknown) do
      sum.unknown[#sum.unknown + 1] = id
    end
  end
  return sum
end

-- Of several requests, the second would not find what the first has ended.
local function each_once(ids)
  local list, seen = {}, {}
  for _, id in ipairs(ids) do
    list[#list + 1] = not seen[id] and id or nil
    seen[id] = true
  end
  return list
end

-- The answer, or nil, why there is none, and the API's status.
local function end_those(options)
  if #options.id == 0 then
    return asking.delete(options.control, asking.target(PATH, options, which.FILTERS), PATIENCE)
  end
  local sum, wanted = {}, each_once(options.id)
  for first = 1, #wanted, AT_ONCE do
    local last = math.min(#wanted, first + AT_ONCE - 1)
    local ids = table.concat(wanted, ",", first, last)
    local target = asking.target(PATH, { id = ids }, { "id" })
    local body, why, _, code = asking.delete(options.control, target, PATIENCE)
    if not body then
      return nil, why, nil, code
    end
    add(sum, body)
  end
  return sum
end

-- Says what it came to. Returns the exit status.
local function tell(body)
  local status = 0
  if body.killed > 0 or not (body.unknown and body.unknown[1]) then
    output.write(body.killed == 0 and ("none was ended (%d open)\n"):format(body.open)
      or ("ended %s\n"):format(text.plural(body.killed, "connection")))
  end
  for _, id in ipairs(body.unknown or {}) do
    status = asking.fail(("there is no connection %s (any more)"):format(id))
  end
  if body.waiting > 0 then
    local does = body.waiting == 1 and "1 worker has not answered in time; it ends its own when it goes on"
      or ("%d workers have not answered in time; they end theirs when they go on"):format(body.waiting)
    return asking.fail(does)
  end
  local unknown = asking.unknown(body, "its connections are not ended")
  output.write(unknown)
  return unknown ~= "" and 1 or status
end

function kill.run(options)
  local wrong = fault_of(options)
  if wrong then
    output.complain(wrong)
    return 2
  end
  if #options.id == 0 and not options.yes then
    local goes_on, status = ask(options)
    if not goes_on then
      return status
    end
  end
  local body, why, _, code = end_those(options)
  if not body then
    return asking.fail(why, code)
  elseif options.json then
    output.raw(json.encode(body) .. "\n")
    return body.complete and not (body.unknown and body.unknown[1]) and 0 or 1
  end
  return tell(body)
end

return kill
