-- SPDX-License-Identifier: MIT
--
-- Builds with sanitizers find what they are there for, and the test fails for it, whichever process it is in.

local moongate = require "spec.support.moongate"
local process = require "spec.support.process"

local faulty = moongate.support .. "/faulty"

-- A fault under cmake/watch_reports, as ctest would run it.
local function watched(...)
  local reports = process.directory() .. "/reports"
  local env = {}
  for _, name in ipairs { "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS" } do
    env[name] = ((os.getenv(name) or ""):gsub("log_path=[^:]*", "")) .. ":log_path=" .. reports
  end
  return process.run({ "cmake/watch_reports", reports, faulty, ... }, { env = env })
end

local function expect_found(what, word)
  for _, child in ipairs { "", "child" } do
    local found = watched(what, child ~= "" and child or nil)
    assert.are_not.equal(0, found.status, what .. " " .. child)
    assert.truthy(found.out:find(word, 1, true), found.out .. found.err)
    assert.truthy(found.out:find("reports of a sanitizer: 1", 1, true), found.out)
  end
end

describe("an instrumented build", function()
  after_each(process.finish)

  it("has its assertions, and others have not", function()
    local has = process.read(moongate.binary):find("__assert_fail", 1, true) ~= nil
    assert.are.equal(moongate.sanitized, has)
  end)

  it("is not failed for nothing", function()
    local found = watched "nothing"
    assert.are.same({ 0, "", "" }, { found.status, found.out, found.err })
  end)

  it("is failed for an assertion, a report, and a report of a process that nobody looks at", function()
    if not moongate.sanitized then
      return
    end
    expect_found("assert", "Sanitizer: ABRT")
    if moongate.sanitizer == "thread" then
      expect_found("race", "ThreadSanitizer: data race")
    else
      expect_found("beyond", "AddressSanitizer: heap-buffer-overflow")
      expect_found("leak", "LeakSanitizer: detected memory leaks")
      expect_found("overflow", "runtime error: signed integer overflow")
    end
  end)

  it("is failed for a report of a moongate, by the test that has started it", function()
    if not moongate.sanitized then
      return
    end
    local m = moongate.start {}
    local reports = os.getenv "MOONGATE_REPORTS"
    local report = ("%s.%d"):format(reports, m.process.pid)
    process.write(report, "==1==ERROR: AddressSanitizer: a test of the tests")
    m:stop "SIGKILL"
    local fine, message = pcall(moongate.finish)
    os.remove(report)
    assert.is_false(fine)
    assert.truthy(message:find("a test of the tests", 1, true), message)
  end)
end)
