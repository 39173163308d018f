-- SPDX-License-Identifier: MIT
--
-- `moongate conns`: the connections that are there, oldest first, with filters; with --stuck those that get nowhere.

local asking = require("moongate.cli.asking")
local output = require("moongate.cli.output")
local tables = require("moongate.cli.table")
local watching = require("moongate.cli.watching")
local which = require("moongate.cli.which")

local conns = { summary = "List the connections: oldest first, or only those that are stuck." }

local PATH, LIMIT = "/api/v1/connections", 1000
local QUERY = { unpack(which.FILTERS) }
for _, name in ipairs({ "sort", "limit", "offset" }) do
  QUERY[#QUERY + 1] = name
end

function conns.define(command)
  which.define(command)
  command:option("--sort", "age (default), idle, bytes or client."):argname("ORDER")
    :choices({ "age", "idle", "bytes", "client" })
  asking.define_page(command, LIMIT)
  watching.define(command)
  command:flag("--json", "Print the answer of " .. PATH .. ".")
end

local CLASSES = {
  connecting = "connecting", half_dead = "half dead", silent = "silent", stuck = "stuck", unread = "unread",
}

---"half dead 42s", for one that may be in trouble.
local function class(row)
  return row.class and ("%s %s"):format(CLASSES[row.class.name] or row.class.name, tables.age(row.class.seconds))
end

-- One that is not chosen yet, but being asked, has a "?".
local function route(row)
  return (row.route or row.waits and row.waits.route .. "?" or "-") .. (row.version == "old" and " (old)" or "")
end

---"3h59m idle": when it will be ended if nothing moves, and why.
local function ends(row)
  return row.deadline and ("%s %s"):format(tables.left(row.deadline.seconds), row.deadline.reason)
end

-- Where it goes; of one that has no target yet, what it waits for.
local function target(row)
  local waits = row.waits
  if row.target then
    return row.target
  elseif waits then
    return ("(%s)"):format(waits["function"]:match("[^.]*$"))
  elseif row.state == "routing" then
    return row.bytes_in == 0 and "(sent nothing)" or "(sent little)"
  end
end

local ID = { title = "ID", value = function(row) return row.id end }
local CLIENT = { title = "CLIENT", least = 9, value = function(row) return row.client_ip end }
local PORT = { title = "PORT", right = true, value = function(row) return row.port end }
local ROUTE = { title = "ROUTE", least = 6, value = route }
local STATE = { title = "STATE", value = function(row) return row.state end }
local TARGET = { title = "TARGET", least = 14, tail = true, value = target }
local AGE = { title = "AGE", right = true, value = function(row) return tables.age(row.age) end }
local IDLE = { title = "IDLE", right = true, value = function(row) return tables.age(row.idle) end }
local IN = { title = "IN", right = true, value = function(row) return tables.size(row.bytes_in) end }
local OUT = { title = "OUT", right = true, value = function(row) return tables.size(row.bytes_out) end }
local WHY = { title = "WHY", value = class }
local ENDS = { title = "ENDS IN", least = 8, value = ends }

local ALL = { ID, CLIENT, PORT, ROUTE, STATE, TARGET, AGE, IDLE, IN, OUT, ENDS }
local STUCK = { ID, CLIENT, PORT, ROUTE, TARGET, AGE, IN, OUT, WHY, ENDS }

---@param body table of the API's answer
---@param stuck boolean
---@param width? integer
---@param control? string the control socket that was said
---@return string
function conns.format(body, stuck, width, control)
  local lines = {}
  if #body.connections > 0 then
    lines[1] = tables.render(stuck and STUCK or ALL, body.connections, width)
  end
  if body.total == 0 then
    lines[1] = body.complete == false
      and ("none%s (%d open on the other workers)\n"):format(stuck and " known to be stuck" or " known", body.open)
      or ("none%s (%d open)\n"):format(stuck and " is stuck" or "", body.open)
  else
    lines[#lines + 1] = tables.rest(#body.connections, body.offset or 0, body.total, "connection")
  end
  if stuck and #body.connections > 0 then
    local explain = asking.command("moongate explain " .. body.connections[1].id, control)
    lines[#lines + 1] = control and ("more of the first:\n  %s\n"):format(explain)
      or ("`%s` says more of the first\n"):format(explain)
  end
  return table.concat(lines)
end

-- Asks once, and shows it. Returns the exit status, and whether there was an answer.
local function show(options, most)
  local asked = setmetatable({ limit = options.limit or most or LIMIT }, { __index = options })
  local body, raw, _, code = asking.get(options.control, asking.target(PATH, asked, QUERY))
  if not body then
    return asking.fail(raw, code), false
  end
  local unknown, status = asking.unknown(body, "its connections are missing")
  if options.json then
    asking.print_raw(raw)
  elseif body.total == 0 then -- that none is there is not said before what is not known
    output.write(unknown, conns.format(body, options.stuck))
  else
    output.write(conns.format(body, options.stuck, nil, options.control), unknown)
  end
  return status, true
end

function conns.run(options)
  if options.watch then
    return watching.run(options.watch, options.json, function(rows)
      return show(options, rows)
    end)
  end
  return (show(options))
end

return conns
