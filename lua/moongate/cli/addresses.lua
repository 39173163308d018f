-- SPDX-License-Identifier: MIT
--
-- `moongate addresses`: what the limits know of client addresses: who has how many connections, who was refused, who is
-- blocked. And with --traffic, what each has moved.

local asking = require("moongate.cli.asking")
local output = require("moongate.cli.output")
local tables = require("moongate.cli.table")
local watching = require("moongate.cli.watching")

local addresses = { summary = "List client addresses: refused, blocked; or by traffic." }

local PATH, LIMIT = "/api/v1/addresses", 1000
local QUERY = { "blocked", "traffic", "client", "scope", "route", "sort", "limit", "offset" }
local ORDERS = { "refused", "connections", "rate", "blocked", "client", "active", "bytes", "bytes_in", "bytes_out" }

function addresses.define(command)
  command:flag("--blocked", "Only those that are refused for a time (limits.block_for).")
  command:flag("--traffic", "Instead: the bytes and connections of each address, and of all others.")
  command:option("--client", "Only an address, a CIDR or a glob."):argname("IP")
  command:option("--scope", "all (of the config's limits), unrouted, or route."):argname("SCOPE")
    :choices({ "all", "unrouted", "route" })
  command:option("--route", "Only those that this route counts by itself."):argname("NAME")
  command
    :option(
      "--sort",
      "refused (default), connections, rate, blocked or client; with --traffic bytes (default), bytes_in, bytes_out, "
        .. "connections, active or client."
    )
    :argname("ORDER")
    :choices(ORDERS)
  asking.define_page(command, LIMIT)
  watching.define(command)
  command:flag("--json", "Print the answer of " .. PATH .. ".")
end

local function scope(row)
  return row.scope == "route" and row.route or ("(%s)"):format(row.scope)
end

local COLUMNS = {
  { title = "ADDRESS", least = 15, value = function(row) return row.address end },
  { title = "COUNTED BY", least = 10, value = scope },
  { title = "OPEN", right = true, value = function(row) return row.connections end },
  { title = "NEW", right = true, value = function(row) return row.rate end },
  { title = "REFUSED", right = true, value = function(row) return row.refused end },
  {
    title = "BLOCKED FOR",
    value = function(row)
      return row.blocked_for > 0 and tables.left(math.ceil(row.blocked_for)) or nil
    end,
  },
}

local TRAFFIC = {
  { title = "ADDRESS", least = 15, value = function(row) return row.address end },
  { title = "OPEN", right = true, value = function(row) return row.active end },
  { title = "CONNECTIONS", right = true, value = function(row) return row.connections end },
  { title = "IN", right = true, value = function(row) return tables.size(row.bytes_in) end },
  { title = "OUT", right = true, value = function(row) return tables.size(row.bytes_out) end },
}

local function summed(name, counts)
  return setmetatable({ address = name }, { __index = counts })
end

-- Behind the last of them stand the others, and the sum of all.
local function format_traffic(body, width)
  local rows, last = { unpack(body.addresses) }, (body.offset or 0) + #body.addresses
  if last >= body.total and body.total == body.kept then
    rows[#rows + 1] = summed("(other)", body.other)
    rows[#rows + 1] = summed("(all)", body.all)
  end
  local lines = { #rows > 0 and tables.render(TRAFFIC, rows, width) or "" }
  lines[#lines + 1] = tables.rest(#body.addresses, body.offset or 0, body.total, "address", "addresses")
  if body.total == 0 and body.kept > 0 then
    lines[#lines + 1] = ("none (%d are counted by)\n"):format(body.kept)
  end
  if body.complete == false then
    lines[#lines + 1] = "not all workers have answered: these are the last numbers of those\n"
  end
  return table.concat(lines)
end

---@param body table of the API's answer
---@param width? integer
---@return string
function addresses.format(body, width)
  if body.all then
    return format_traffic(body, width)
  end
  local lines = {}
  if body.total == 0 then
    lines[1] = ("none (%d remembered, %d blocked)\n"):format(body.remembered, body.blocked)
    return lines[1]
  elseif #body.addresses > 0 then
    lines[1] = tables.render(COLUMNS, body.addresses, width)
  end
  lines[#lines + 1] = tables.rest(#body.addresses, body.offset or 0, body.total, "address", "addresses")
  if body.complete == false then
    lines[#lines + 1] = "there are more than can be told at once: --client and --route say which\n"
  end
  return table.concat(lines)
end

local function show(options, most)
  local asked = setmetatable({ limit = options.limit or most or LIMIT }, { __index = options })
  local body, raw, _, code = asking.get(options.control, asking.target(PATH, asked, QUERY))
  if not body then
    return asking.fail(raw, code), false
  elseif options.json then
    return asking.print_raw(raw), true
  end
  output.write(addresses.format(body))
  return 0, true
end

function addresses.run(options)
  if options.watch then
    return watching.run(options.watch, options.json, function(rows)
      return show(options, rows)
    end)
  end
  return (show(options))
end

return addresses
