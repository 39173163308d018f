-- SPDX-License-Identifier: MIT
--
-- What the commands that read from a running moongate share: asking the API, saying what went wrong, and options that
-- become a query.

local query = require("moongate.admin.query")
local output = require("moongate.cli.output")
local control = require("moongate.control")
local tables = require("moongate.cli.table")
local text = require("moongate.text")

local asking = {}

---The path with what is given of `values` as its query, in the order of `names`.
---@param path string
---@param values table<string, any>
---@param names string[]
---@return string
function asking.target(path, values, names)
  local parts = {}
  for _, name in ipairs(names) do
    local value = values[name]
    if value ~= nil and value ~= false then
      parts[#parts + 1] = name .. "=" .. query.encode(value == true and 1 or value)
    end
  end
  return #parts > 0 and path .. "?" .. table.concat(parts, "&") or path
end

-- What a request came to, for get() and post().
local function judge(target, code, body, raw)
  if not code then
    return nil, body, raw
  elseif code ~= 200 or type(body) ~= "table" then
    local why = type(body) == "table" and type(body.error) == "table" and body.error.message
    return nil, why or ("%s answered with status %d"):format(target:match("^[^?]*"), code), body, code
  end
  return body, raw, nil, code
end

---The answer of a GET as a table, and as it came; or nil, what went wrong and the body of the refusal. Last, unless
---nobody answered: the status.
---@param path string|nil the control socket
---@param target string
function asking.get(path, target)
  return judge(target, control.get(path, target))
end

---The same of a POST.
---@param path string|nil the control socket
---@param target string
---@param patience number how long it may take, in seconds
---@return table|nil body
---@return string raw, or what went wrong
---@return table|string|nil refusal its body; "cut": the answer ended too early
---@return integer|nil status
function asking.post(path, target, patience)
  return judge(target, control.request(path, "POST", target, nil, patience))
end

---The same of a DELETE.
---@param path string|nil the control socket
---@param target string
---@param patience number how long it may take, in seconds
function asking.delete(path, target, patience)
  return judge(target, control.request(path, "DELETE", target, nil, patience))
end

---Says on standard error why there is nothing to show. Returns the exit status: what was asked for failed, or, where
---the API's status says so, it can't be asked for.
---@param message string
---@param code? integer the API's
---@return integer
function asking.fail(message, code)
  output.complain(message)
  return code == 400 and 2 or 1
end

---A command that is suggested, as it reaches the same moongate. `path`: the control socket that was said.
---@param command string "moongate conns …"
---@param path? string
---@return string
function asking.command(command, path)
  local way = path and "--control " .. text.shell_word(path) .. " "
  return way and (command:gsub("^moongate ", function(word)
    return word .. way
  end)) or command
end

---What an answer does not know because workers have no part in it, as lines; "" when it knows all. And the exit status.
---@param body table
---@param what string "its connections are missing"
---@param width? integer
---@return string lines
---@return integer
function asking.unknown(body, what, width)
  local lines = {}
  if body.complete == false then
    for index, worker in ipairs(body.stuck or {}) do
      lines[index] = tables.paragraph(text.stuck_worker(worker) .. ": " .. what, "not known: ", "  ", width)
    end
    lines[1] = lines[1] or tables.paragraph("a worker did not answer in time: " .. what, "not known: ", "  ", width)
  end
  return table.concat(lines), #lines > 0 and 1 or 0
end

---Prints the API's body as it came. Returns the exit status.
---@param raw string
---@return integer
function asking.print_raw(raw)
  output.raw(raw)
  return 0
end

---For argparse: a whole number from `least` to `most`.
function asking.number(option, least, most)
  return function(word)
    local number = tonumber(word:match("^%d+$"))
    if not number or number < least or number > most then
      return nil, ("%s: expected a number from %d to %d, got '%s'"):format(option, least, most, word)
    end
    return number
  end
end

function asking.define_page(command, limit)
  command:option("--limit", ("How many at most (default: %d)."):format(limit))
    :argname("N"):convert(asking.number("--limit", 0, 2000))
  command:option("--offset", "How many to leave out before them."):argname("N")
    :convert(asking.number("--offset", 0, 2 ^ 31))
end

return asking
