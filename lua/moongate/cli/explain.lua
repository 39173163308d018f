-- SPDX-License-Identifier: MIT
--
-- `moongate explain`: which route a connection would get, and what turned each of the others down; and of a connection
-- that is there, why it has its route, and why it is still there. How it is said is for explain_text.lua and
-- explain_connection.lua.

local address = require("moongate.cli.address")
local asking = require("moongate.cli.asking")
local check = require("moongate.cli.check")
local connection_text = require("moongate.cli.explain_connection")
local explain_text = require("moongate.cli.explain_text")
local output = require("moongate.cli.output")
local tables = require("moongate.cli.table")
local json = require("moongate.json")

local explain = { summary = "Say which route a connection gets, and why not another." }

local PATH, CONNECTIONS = "/api/v1/explain", "/api/v1/connections"
local QUERY = { "port", "address", "domain", "client_ip", "tls_version", "tls", "limit" }
local MOST_PORTS, LIMIT = 8, 100

function explain.define(command)
  command:argument("address", "https://a.example.com/, a.example.com:443, 443, or the ID of a connection."):args("*")
  command:option("--port", "The port that it comes in on."):argname("N"):convert(asking.number("--port", 0, 65535))
  command:option("--domain", "The name that the client asks for."):argname("NAME")
  command:option("--client", "The address that it comes from."):argname("IP")
  command:option("--tls-version", "The TLS version that it speaks."):argname("V")
    :choices({ "1.0", "1.1", "1.2", "1.3" })
  command:option("--limit", ("How many routes are told of at most (default: %d)."):format(LIMIT)):argname("N")
    :convert(asking.number("--limit", 1, 2000))
  command:option("--config", "Explain the files instead of what runs: this config."):argname("FILE")
  command:option("--routes", "Explain the files instead of what runs: this directory."):argname("DIR")
  command:flag("--json", "Print the answer of " .. PATH .. ".")
end

-- The question of one address, the options having the last word; or nil and what is wrong.
local function question_of(options, word)
  local question = {}
  if word then
    local found, wrong = address.parse(word)
    if not found then
      return nil, wrong
    end
    question = found
  end
  question.port = options.port or question.port
  question.domain = options.domain or question.domain
  question.client_ip = options.client
  question.tls_version = options.tls_version
  question.limit = options.limit or LIMIT
  return question
end

-- body, raw; or nil, message, the ports to choose from, and the API's status.
local function ask(options, question)
  if not (options.config or options.routes) then
    local wanted = {}
    for name, value in pairs(question) do
      wanted[name] = value
    end
    if question.tls ~= nil then
      wanted.tls = question.tls and "1" or "0"
    end
    local body, raw, refusal, code = asking.get(options.control, asking.target(PATH, wanted, QUERY))
    return body, raw, type(refusal) == "table" and refusal.ports or nil, code
  end
  local answer = require("moongate.explain").ask({
    offline = true,
    config = options.config,
    routes = options.routes,
    port = question.port,
    address = question.address,
    domain = question.domain,
    client_ip = question.client_ip,
    tls_version = question.tls_version,
    tls = question.tls,
    limit = question.limit,
  })
  for _, fault in ipairs(answer.faults or {}) do
    output.warn("fault: ", check.format(fault), "\n")
  end
  if answer.error then
    return nil, answer.error, answer.ports, answer.status
  end
  answer.faults = json.list(answer.faults)
  return answer, json.encode(answer)
end

-- What is wrong is said once, of however many words. Returns the exit status.
local function complain(said, message, code)
  if not said[message] then
    said[message] = true
    output.warn(tables.paragraph("moongate: " .. message))
  end
  return code == 400 and 2 or 1
end

-- Explains one question; where it names no port, for each that there is, when they are few. `said`: see complain().
local function explain_one(options, question, said)
  local body, raw, ports, code = ask(options, question)
  if not body and not question.port and ports and #ports > 1 and #ports <= MOST_PORTS then
    local status = 0
    for i, port in ipairs(ports) do
      output.write(i > 1 and not options.json and "\n" or "")
      question.port = port
      status = math.max(status, explain_one(options, question, said))
    end
    return status
  elseif not body then
    local listed = raw:find(", only on ", 1, true) and "" or explain_text.ports(ports, question.port ~= nil)
    return complain(said, raw .. listed, not ports and code or nil)
  elseif options.json then
    return asking.print_raw(raw)
  end
  output.write(explain_text.choice(body, question))
  return 0
end

-- Of a connection that is there: its record, and the choice that one like it would meet now.
local function explain_connection(options, id, said)
  local body, raw = asking.get(options.control, asking.target(CONNECTIONS, { id = id }, { "id" }))
  if not body then
    return complain(said, raw)
  end
  local row = body.connections[1]
  if options.json then
    asking.print_raw(raw)
  end
  if row and options.json then
    return 0
  end
  local unknown = asking.unknown(body, "it may be one of its connections")
  if not row and unknown ~= "" then
    (options.json and output.warn or output.write)(unknown)
    return 1
  elseif not row then
    local gone = "there is no connection %s (any more); with log.access the log says how it ended"
    return complain(said, gone:format(id))
  end
  local question = {
    is_there = true,
    port = row.port,
    address = row.local_address,
    domain = row.domain,
    client_ip = row.client_ip,
    tls_version = row.tls_version,
    limit = LIMIT,
  }
  if row.route then
    question.tls = row.tls_version ~= nil
  end
  local choice, why = ask(options, question)
  output.write(connection_text(row), "\n", "One like it, if it came now:\n")
  output.write(choice and explain_text.choice(choice, question) or tables.paragraph(why .. "."))
  return 0
end

function explain.run(options)
  local words, status, said = options.address, 0, {}
  local live = not (options.config or options.routes)
  for i = 1, math.max(1, #words) do
    local word = words[i]
    output.write(i > 1 and status == 0 and not options.json and "\n" or "")
    if word and live and address.is_connection(word) then
      status = math.max(status, explain_connection(options, word, said))
    else
      local question, wrong = question_of(options, word)
      if not question then
        output.complain(wrong)
        return 2
      end
      status = math.max(status, explain_one(options, question, said))
    end
  end
  return status
end

return explain
