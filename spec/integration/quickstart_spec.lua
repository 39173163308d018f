-- SPDX-License-Identifier: MIT
--
-- The quick-start, moongate.lua and routes/ at the root, as a user finds it. Its ports are fixed, so it runs in a
-- network namespace of its own.

local moongate = require "spec.support.moongate"
local process = require "spec.support.process"

local root = require("posix.unistd").getcwd()
local as_root = process.run({ "id", "-u" }).out == "0\n"

-- A command line in new network and mount namespaces. Private /run and /var/lib, where moongate run by root has its
-- socket and its state, keep the machine's own ones out of it.
local function unshared(script)
  local private = as_root and "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && " or ""
  return { "unshare", as_root and "-nm" or "-rnm", "sh", "-c", private .. "ip link set lo up && " .. script }
end

local possible = process.run(unshared "true").status == 0
process.finish()

describe("the quick-start", function()
  local it = possible and it or function(name)
    pending(name .. " (no network namespaces here: needs root, or user namespaces)")
  end
  local m

  -- Runs a program in moongate's namespace.
  local function inside(words, options)
    local line = { "nsenter", "-t", m.pid, "-n" }
    if not as_root then
      line[#line + 1], line[#line + 2] = "-U", "--preserve-credentials"
    end
    for _, word in ipairs(words) do
      line[#line + 1] = word
    end
    return process.run(line, options)
  end

  before_each(function()
    local directory = process.directory()
    local environment = { XDG_STATE_HOME = directory, XDG_RUNTIME_DIR = directory, HOME = directory }
    m = process.start(unshared(("exec '%s' run"):format(moongate.binary)), { env = environment, cwd = root })
    process.wait_for(function()
      assert(m:alive(), "the quick-start ended:\n" .. m:out() .. m:err())
      return inside({ "curl", "-s", "-f", "http://127.0.0.1:9090/readyz" }).status == 0
    end, 20, "the quick-start")
  end)

  after_each(function()
    m:signal "SIGTERM"
    local status = m:wait(35)
    local log = m:out() .. m:err()
    process.finish()
    assert.are.equal(0, status, log)
  end)

  it("serves a page on port 8080 that says which file to edit", function()
    local answer = inside { "curl", "-sS", "-i", "http://127.0.0.1:8080/" }
    assert.are.equal(0, answer.status, answer.err)
    assert.truthy(answer.out:match "^HTTP/1%.1 200 ", answer.out)
    assert.truthy(answer.out:lower():find("content-type: text/html", 1, true))
    assert.truthy(answer.out:find "[Mm]oongate")
    local file = answer.out:match "routes/[%w_.-]+%.lua"
    assert.truthy(file, "the page names no file")
    assert.truthy(io.open(root .. "/" .. file), file .. " is not there")
  end)

  it("echoes on port 9000", function()
    local input = process.write(process.directory() .. "/input", "hello\nmoon\n")
    local answer = inside({ "nc", "-N", "-w", "5", "127.0.0.1", "9000" }, { input = input })
    assert.are.equal("hello\nmoon\n", answer.out, answer.err)
  end)

  it("speaks a protocol of lines on port 9001", function()
    local input = process.write(process.directory() .. "/input", "help\nhello\n")
    local answer = inside({ "nc", "-N", "-w", "5", "127.0.0.1", "9001" }, { input = input })
    assert.are.equal(0, answer.status, answer.err)
    assert.are_not.equal("", answer.out)
    assert.truthy(select(2, answer.out:gsub("\n", "")) >= 2, answer.out)
  end)

  it("is well for moongate check", function()
    local answer = process.run({ moongate.binary, "check" }, { cwd = root })
    assert.are.equal(0, answer.status, answer.out .. answer.err)
  end)
end)
