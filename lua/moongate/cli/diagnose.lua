-- SPDX-License-Identifier: MIT
--
-- `moongate diagnose`: a snapshot of all connections, kept as a file; on the terminal what to look at.

local asking = require("moongate.cli.asking")
local output = require("moongate.cli.output")
local tables = require("moongate.cli.table")
local text = require("moongate.text")
local unicode = require("moongate.unicode")

local diagnose = { summary = "Keep a snapshot of the connections, and say what to look at." }

local PATH, PATIENCE = "/api/v1/diagnose", 60

local NAMES = {
  zombie = "zombies", half_zombie = "half zombies", stuck_connecting = "stuck connecting", no_outgoing = "no outgoing",
  ["function"] = "waiting for a function",
  stuck = "stuck", keep_alive_stuck = "keep-alive stuck", old = "old", no_data = "no data",
  unread = "unread", silent = "silent",
}
local ORDER = {
  "zombie", "half_zombie", "stuck_connecting", "function", "no_outgoing", "stuck", "silent", "unread",
  "keep_alive_stuck", "old", "no_data",
}

function diagnose.define(command)
  command:flag("--json", "Print the snapshot, the answer of POST " .. PATH .. ".")
end

-- "12 forwarding, 3 connecting"
local function states(by_state)
  local names = {}
  for name, count in pairs(by_state) do
    names[#names + 1] = count > 0 and name or nil
  end
  table.sort(names, function(a, b)
    return by_state[a] ~= by_state[b] and by_state[a] > by_state[b] or by_state[a] == by_state[b] and a < b
  end)
  for index, name in ipairs(names) do
    names[index] = ("%d %s"):format(by_state[name], name)
  end
  return table.concat(names, ", ")
end

-- "10.0.0.5:80 (312), …": the three largest.
local function groups(list)
  local parts = {}
  for index = 1, math.min(3, #list) do
    parts[index] = ("%s (%d)"):format(list[index].name, list[index].count)
  end
  return #parts > 0 and table.concat(parts, ", ") .. (#list > 3 and ", …" or "") or nil
end

local function patterns(body)
  local parts = {}
  for _, name in ipairs(ORDER) do
    local pattern = body.patterns[name]
    if pattern and pattern.count > 0 then
      parts[#parts + 1] = ("%d %s"):format(pattern.count, NAMES[name])
    end
  end
  return #parts > 0 and table.concat(parts, ", ") or "none"
end

-- The latest worker now, and since the last snapshot.
local function lag(body)
  local now, worst = 0, 0
  for _, worker in ipairs(body.workers) do
    now, worst = math.max(now, worker.lag), math.max(worst, worker.worst_lag)
  end
  return ("%.1f ms, at worst %.1f ms since the last snapshot"):format(now * 1000, worst * 1000)
end

-- "from 12 to 312 in 5m"
local function trend(body)
  local first = body.trend[1]
  return first and ("%d %s ago"):format(first.open, text.format_duration(math.floor(first.ago + 0.5))) or nil
end

local function overview(body)
  local connections, descriptors = body.connections, body.descriptors or {}
  local named = states(connections.by_state)
  local open = named ~= "" and ("%d open (%s)"):format(connections.open, named) or "none is open"
  return {
    { "connections", open },
    { "before", trend(body) },
    { "by route", groups(connections.by_route) },
    { "by client", groups(connections.by_client) },
    { "by target", groups(connections.by_target) },
    { "patterns", patterns(body) },
    { "memory", ("%s, %d of %s descriptors"):format(text.format_bytes((body.memory or {}).rss or 0),
      descriptors.used or 0, descriptors.limit and ("%.0f"):format(descriptors.limit) or "?") },
    { "late", lag(body) },
  }
end

---The summary for people.
---@param body table the snapshot
---@param width? integer
---@param control? string the control socket that was said
---@return string
function diagnose.format(body, width, control)
  local lines = { tables.labelled(overview(body), width), "\n" }
  if #body.look_at == 0 then
    lines[#lines + 1] = "Nothing stands out.\n"
    return table.concat(lines)
  end
  lines[#lines + 1] = "What to look at:\n"
  for index, finding in ipairs(body.look_at) do
    lines[#lines + 1] = tables.paragraph(finding.text, ("%3d. "):format(index), "     ", width)
    if finding.command then
      lines[#lines + 1] = "     -> " .. unicode.printable(asking.command(finding.command, control)) .. "\n"
    end
  end
  return table.concat(lines)
end

function diagnose.run(options)
  local body, raw = asking.post(options.control, PATH, PATIENCE)
  if not body then
    return asking.fail(raw)
  end
  if options.json then
    asking.print_raw(raw)
  else
    output.write(body.path and body.path .. "\n\n" or "", diagnose.format(body, nil, options.control))
  end
  if not body.connections.complete then
    output.complain("a worker did not answer in time; its connections are missing")
  end
  return body.path and 0 or asking.fail(("the snapshot could not be kept: %s"):format(tostring(body.not_kept)))
end

return diagnose
