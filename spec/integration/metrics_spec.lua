-- SPDX-License-Identifier: MIT
--
-- /metrics as a scraper asks for it, in both formats, of a moongate that runs.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local ROUTES = [[
local metrics = moongate.metrics
local jobs = metrics.counter("jobs_total", "Jobs.", { "kind" })
local odd = metrics.counter("odd", "A counter without its ending.")
local wait = metrics.histogram("wait_seconds", "Waits.", nil, { 1, 2.5 })
return {
  name = "front",
  match = { ports = 0 },
  action = { handler = function(socket)
    jobs:inc(1, { "a" })
    odd:inc()
    wait:observe(2)
    socket:receive("*l")
  end },
}
]]

-- What the openmetrics parser of Prometheus's own client makes of the page; nil where it is not installed.
local function parse(text)
  local python = "/usr/bin/python3"
  local there = process.run { python, "-c", "import prometheus_client" }
  if there.status ~= 0 then
    return nil
  end
  local path = process.directory() .. "/page"
  process.write(path, text)
  local script = [[
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    print(family.type, family.name, len(family.samples))
]]
  return process.run { python, "-c", script, path }
end

describe("/metrics", function()
  after_each(moongate.finish)

  it("is OpenMetrics for who asks for it, and every family is one", function()
    local m = moongate.start { routes = ROUTES }
    net.connect(m:port "front"):send "x\n"
    m:await_metric('connection_terminations_total{side="client",reason="closed"}', 1)
    local accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5"
    local status, text, head = m:request("GET", "/metrics", { headers = { accept } })
    assert.are.equal(200, status)
    assert.truthy(head:lower():find("content-type: application/openmetrics-text; version=1.0.0", 1, true), head)
    assert.are.equal("# EOF\n", text:sub(-6))
    local seen = {}
    for name in text:gmatch "# TYPE (%S+)" do
      assert.is_nil(seen[name], name)
      seen[name] = true
    end
    for _, name in ipairs { "moongate_connections", "moongate_connections_by_state", "process_cpu_seconds", "jobs" } do
      assert.is_true(seen[name], name)
    end
    local parsed = parse(text)
    if parsed then
      assert.are.equal(0, parsed.status, parsed.err .. text)
      assert.truthy(parsed.out:find("counter moongate_connections 1\n", 1, true), parsed.out)
    end
  end)

  it("is the text format else, with what every client library says of its process", function()
    local m = moongate.start { routes = ROUTES }
    local _, text, head = m:request("GET", "/metrics")
    assert.truthy(head:lower():find("content-type: text/plain; version=0.0.4", 1, true), head)
    assert.is_nil(text:find("# EOF", 1, true))
    local samples = m:metrics()
    assert.is_true(samples.process_cpu_seconds_total > 0 and samples.process_cpu_seconds_total < 60)
    assert.is_true(samples.process_open_fds > 5 and samples.process_open_fds < samples.process_max_fds)
    assert.is_true(samples.process_resident_memory_bytes > 1e6)
    assert.is_true(samples.process_virtual_memory_bytes >= samples.process_resident_memory_bytes)
    assert.is_true(math.abs(os.time() - samples.process_start_time_seconds) < 60)
  end)
end)
