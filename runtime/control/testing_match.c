/* SPDX-License-Identifier: MIT
 *
 * Routes that a spec only asks about: whether they would load, and which one a connection would take. */
#include "control/testing_private.h"

#include "control/life.h"
#include "control/operations.h"
#include "instance/runtime.h"
#include "loading/load.h"
#include "reports/reports.h"
#include "reports/routes_report.h"
#include "routing/choice.h"

#include <stdlib.h>
#include <string.h>

/* Routes that are loaded for a question. */
struct asked {
  struct loader *loader;
  struct config config;
  struct loaded_routes loaded;
};

/* False: see `faults`. The rest is to be cleared in each case. */
static bool match_load(struct asked *asked, const struct runtime *runtime, const struct testing_settings *settings,
                       struct value *faults) {
  struct fault_list found = {.count = 0};
  struct error error;
  *asked = (struct asked){.loader = loader_new(&runtime->log, runtime->library, &error)};
  if (!asked->loader) {
    report_fault(faults, "", 0, "", "", error.message);
    return false;
  }
  int status = loader_take_config(asked->loader, settings->config, &asked->config, &found);
  if (status == 0)
    status = loader_load_value(asked->loader, &asked->config, settings->routes, 0, NULL, NULL, &asked->loaded);
  report_faults(faults, &found, NULL);
  report_faults(faults, &asked->loaded.faults, NULL);
  fault_list_clear(&found);
  return status == 0;
}

static void clear(struct asked *asked) {
  loaded_routes_clear(&asked->loaded);
  config_clear(&asked->config);
  loader_free(asked->loader);
}

struct value *testing_check(void *context, const struct testing_settings *settings) {
  struct asked asked;
  struct value *root = value_table();
  match_load(&asked, context, settings, value_set_table(root, "faults"));
  struct value *names = value_set_table(root, "names");
  for (size_t i = 0; i < asked.loaded.file_count; i++)
    for (size_t r = 0; r < asked.loaded.files[i].route_count; r++)
      value_set_string(names, NULL, asked.loaded.files[i].routes[r]->name);
  clear(&asked);
  return root;
}

static void on_match_verdict(void *context, const struct route_verdict *verdict) {
  explain_write_verdict(route_report_write(context, NULL, verdict->route), verdict);
}

/* 0, or -1 with a fault. */
static int read_question(const struct testing_question *asked, struct route_question *question, struct value *faults) {
  struct endpoint client;
  *question = (struct route_question){
      .domain = asked->domain,
      .domain_length = asked->domain ? strlen(asked->domain) : 0,
      .is_tls = asked->is_tls,
      .tls_versions = asked->tls_version ? tls_version_from_label(asked->tls_version) : 0,
  };
  const char *ip = asked->client_ip ? asked->client_ip : "127.0.0.1";
  if (endpoint_from_literal(&client, ip, 0) != 0) {
    report_fault(faults, "", 0, "", "client_ip", "is no address");
    return -1;
  }
  ip_address_from_sockaddr(&question->client, (const struct sockaddr *)&client.storage);
  return 0;
}

static void match_explain(const struct route_table *table, uint16_t number, const struct route_question *question,
                          struct value *root) {
  struct value *verdicts = value_set_table(root, "verdicts");
  char client[ADDRESS_TEXT_SIZE];
  value_set_string(root, "domain", question->domain);
  value_set_string(root, "client_ip", ip_address_format(&question->client, client));
  value_set_string(root, "tls_version", tls_version_label(question->tls_versions));
  value_set_boolean(root, "tls", question->is_tls);
  for (size_t i = 0; i < table->port_count; i++) {
    const struct table_port *port = &table->ports[i];
    if (number != 0 && port->port != number)
      continue;
    value_set_boolean(root, "listens", true);
    value_set_string(root, "takes", table_port_takes(port));
    route_explain(table, port, question, 0, on_match_verdict, verdicts);
    return;
  }
  value_set_boolean(root, "listens", false);
}

struct value *testing_match(void *context, const struct testing_settings *settings,
                            const struct testing_question *asked_question) {
  struct asked asked;
  struct route_question question;
  struct error error;
  struct value *root = value_table(), *faults = value_set_table(root, "faults");
  if (match_load(&asked, context, settings, faults) && read_question(asked_question, &question, faults) == 0) {
    struct route_table *table = instance_make_table(NULL, NULL, &asked.loaded, NULL, &error);
    if (table)
      match_explain(table, asked_question->port, &question, root);
    else
      report_fault(faults, "", 0, "", "", error.message);
    route_table_unref(table);
  }
  clear(&asked);
  return root;
}
