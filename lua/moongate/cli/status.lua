-- SPDX-License-Identifier: MIT
--
-- `moongate status`: an overview of the running moongate.

local asking = require("moongate.cli.asking")
local check = require("moongate.cli.check")
local output = require("moongate.cli.output")
local routes = require("moongate.cli.routes")
local tables = require("moongate.cli.table")
local text = require("moongate.text")

local status = { summary = "Show what the running moongate does." }

local PATH = "/api/v1/status"

local LONG_MS = 2000 -- a step of a reload that lasts for longer is worth a line

function status.define(command)
  command:flag("--json", "Print the answer of " .. PATH .. ".")
end

-- "12", "12, 2 with faults", "12, 2 with faults, 1 of them waits for what it asks for"
local function files(body)
  if type(body.files) ~= "table" then
    return nil
  end
  local faulty, waiting = 0, 0
  for _, file in ipairs(body.files) do
    faulty = faulty + (#(file.faults or {}) > 0 and 1 or 0)
    waiting = waiting + (file.waits and 1 or 0)
  end
  local waits = waiting == 0 and ""
    or (", %d of them %s for what %s"):format(waiting, waiting == 1 and "waits" or "wait",
      waiting == 1 and "it asks for" or "they ask for")
  return faulty > 0 and ("%d, %d with faults%s"):format(#body.files, faulty, waits) or #body.files
end

-- "moongate.lua, 2 faults: it is as it was before", "moongate.lua, 1 setting waits for a restart".
local function config(body)
  local parts = { body.config }
  local faults, waiting = #(body.config_faults or {}), #(body.restart_needed or {})
  if faults > 0 then
    parts[#parts + 1] = text.plural(faults, "fault") .. ": it is as it was before"
  end
  if waiting > 0 then
    parts[#parts + 1] = waiting == 1 and "1 setting waits for a restart"
      or ("%d settings wait for a restart"):format(waiting)
  end
  return #parts > 0 and table.concat(parts, ", ") or nil
end

local NAMES_TOLD = 3
local LOST_MOST = 4 -- threads that are replaced; with more nothing can be loaded

local STATES = { "routing", "connecting", "forwarding", "handling", "idle", "closing" }

-- " (1 connecting, 2 forwarding)", in the order in which a connection goes through them; "" when there is none.
local function states_of(connections)
  local parts = {}
  for _, name in ipairs(STATES) do
    local count = (connections.states or {})[name] or 0
    if count > 0 then
      parts[#parts + 1] = ("%d %s"):format(count, name)
    end
  end
  return #parts > 0 and (" (%s)"):format(table.concat(parts, ", ")) or ""
end

-- "loading routes/site.lua for 3s, 1 thread hangs in another"; nil when there is nothing to say.
local function reload_of(body)
  local reload, parts = body.reload or {}, {}
  if reload.engine then
    parts[1] = ("waits for the engine %s"):format(reload.engine)
  elseif reload.file then
    parts[1] = text.loading { file = reload.file, seconds = reload.phase_ms / 1000 }
  elseif (reload.phase_ms or 0) >= LONG_MS then
    parts[1] = ("%s for %s"):format(reload.phase, text.format_duration(math.floor(reload.phase_ms / 1000)))
  end
  local lost = reload.lost_loaders or 0
  if lost > 0 then
    local hang = lost == 1 and "1 thread hangs in a file that does not come back"
      or ("%d threads hang in files that do not come back"):format(lost)
    local remedy = lost > LOST_MOST and "; nothing can be loaded: remove or mend them, then restart" or ""
    local names = table.concat(reload.lost_files or {}, ", ")
    parts[#parts + 1] = hang .. remedy .. (names ~= "" and ": " .. names or "")
  end
  return #parts > 0 and table.concat(parts, "; ") or nil
end

-- "12 known, 1 of them by last known addresses: db.example (no answer; good until 3m ago)"; nil while all is well.
local function names_of(body)
  local dns = body.dns or {}
  if (dns.stale or 0) == 0 then
    return nil
  end
  local told = {}
  for index, name in ipairs(dns.stale_names or {}) do
    if index > NAMES_TOLD then
      told[#told + 1] = "…"
      break
    end
    local ago = text.format_duration(math.floor(name.seconds))
    told[index] = ("%s (%s; good until %s ago)"):format(name.name, name.error, ago)
  end
  return ("%d known, %d of them by last known addresses: %s"):format(dns.names, dns.stale, table.concat(told, ", "))
end

-- "2 have failed lately: 10.0.0.1:80 (Connection refused 3s ago, tried last for 2s), …"; nil while none has.
local function targets_of(body)
  local failed, told = body.failed_targets or {}, {}
  if (failed.count or 0) == 0 then
    return nil
  end
  for index, one in ipairs(failed.list or {}) do
    if index > NAMES_TOLD then
      told[#told + 1] = "…"
      break
    end
    local ago, left = text.format_duration(math.floor(one.seconds)), text.format_duration(math.ceil(one.left))
    local last = one.left > 0 and (", tried last for %s"):format(left) or ""
    told[index] = ("%s (%s %s ago%s)"):format(one.target, one.error, ago, last)
  end
  return ("%d failed lately: %s"):format(failed.count, table.concat(told, ", "))
end

---"draining: 3 connections left (2 forwarding, 1 handling), cut in 12s"
---@param body table of the API's answer
---@param width? integer where it would be wider, the states are left out
---@return string
function status.draining(body, width)
  local connections = body.connections or {}
  local left = connections.active or 0
  local cut = body.drain and left > 0 and (", cut in %s"):format(text.format_duration(math.ceil(body.drain.seconds)))
  local function line(states)
    return ("draining: %s left%s%s"):format(text.plural(left, "connection"), states, cut or "")
  end
  local whole = line(states_of(connections))
  return width and #whole > width and line("") or whole
end

-- nil: it is ready.
local function state_of(body)
  if body.draining then
    return status.draining(body)
  elseif body.starting then
    local loading = text.loading(body.loading)
    return "starting" .. (loading and ", " .. loading or "")
  end
  return body.ready == false and "not ready" or nil
end

-- Label and text of each line; what the answer doesn't have is left out.
local function overview(body)
  local connections, bytes = body.connections or {}, body.bytes or {}
  local lines = {}
  local function add(label, value)
    if value ~= nil then
      lines[#lines + 1] = { label, value }
    end
  end
  add("version", body.version)
  add("uptime", type(body.uptime) == "number" and text.format_duration(body.uptime) or nil)
  add("state", state_of(body))
  add("user", body.user and body.user .. (body.user_configured and "" or " (the config names none)"))
  add("workers", body.workers)
  add("generation", body.generation)
  if connections.active then
    add("connections", ("%d open%s, %d in all"):format(connections.active,
      body.draining and "" or states_of(connections), connections.total or connections.active))
  end
  if bytes["in"] and bytes.out then
    add("bytes", ("%s in, %s out"):format(text.format_bytes(bytes["in"]), text.format_bytes(bytes.out)))
  end
  add("ports", body.ports and #body.ports > 0 and (routes.ports(body.ports):gsub(",", ", ")) or nil)
  add("routes", body.route_count or type(body.routes) == "table" and #body.routes or body.routes)
  add("config", config(body))
  add("files", files(body))
  add("reload", reload_of(body))
  add("names", names_of(body))
  add("targets", targets_of(body))
  return lines
end

---The overview as text: aligned, and the faults of files below.
---@param body table of the API's answer
---@return string
function status.format(body, width)
  local lines = { tables.labelled(overview(body), width) }
  for _, fault in ipairs(body.faults or {}) do
    lines[#lines + 1] = tables.paragraph(check.format(fault), "fault: ", "  ", width)
  end
  for _, fault in ipairs(body.config_faults or {}) do
    lines[#lines + 1] = tables.paragraph(check.format(fault), "fault: ", "  ", width)
  end
  for _, setting in ipairs(body.restart_needed or {}) do
    lines[#lines + 1] = tables.paragraph(setting, "a restart is needed: ", "  ", width)
  end
  for _, file in ipairs(type(body.files) == "table" and body.files or {}) do
    for _, fault in ipairs(file.faults or {}) do
      lines[#lines + 1] = tables.paragraph(check.format(fault), "fault: ", "  ", width)
    end
  end
  for _, fault in ipairs(type(body.engine) == "table" and body.engine.faults or {}) do
    local whole = ("the engine %s: %s"):format(body.engine.name, fault.message)
    lines[#lines + 1] = tables.paragraph(whole, "fault: ", "  ", width)
  end
  return table.concat(lines)
end

function status.run(options)
  local body, raw = asking.get(options.control, PATH)
  if not body then
    return asking.fail(raw)
  end
  local unknown, code = asking.unknown(body, "connections and bytes are without what it has done since")
  if options.json then
    asking.print_raw(raw)
  else
    output.write(status.format(body), unknown)
  end
  return code
end

return status
