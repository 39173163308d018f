/* SPDX-License-Identifier: MIT
 *
 * Making an SSL_CTX of settings, and telling in words what is wrong with them. */
#include "tls/context.h"
#include "tls/stream_private.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* OpenSSL's last word; the queue is empty afterwards. */
static const char *reason(void) {
  const char *text = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return text != NULL ? text : "OpenSSL does not say why";
}

static int fault(struct error *error, const char *setting, const char *what) {
  int status = error_set(error, EINVAL, "%s: %s", what, reason());
  error_set_place(error, "%s", setting);
  return status;
}

/* Without it OpenSSL would ask for one at the terminal. */
static int no_passphrase(char *bytes, int size, int writing, void *context) {
  (void)bytes, (void)size, (void)writing, (void)context;
  return -1;
}

static BIO *reader_of(const char *text) { return BIO_new_mem_buf(text, -1); }

/* The queue's end is told as an error as well. */
static bool at_end(void) {
  unsigned long last = ERR_peek_last_error();
  bool is_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (is_end)
    ERR_clear_error();
  return is_end;
}

static int use_certificate(SSL_CTX *ssl, const char *pem, struct error *error) {
  BIO *reader = reader_of(pem);
  X509 *certificate = reader != NULL ? PEM_read_bio_X509_AUX(reader, NULL, no_passphrase, NULL) : NULL;
  int status = 0;
  if (certificate == NULL || SSL_CTX_use_certificate(ssl, certificate) != 1)
    status = fault(error, "certificate", "the certificate can't be used");
  X509_free(certificate);
  while (status == 0) {
    X509 *link = PEM_read_bio_X509(reader, NULL, no_passphrase, NULL);
    if (link == NULL) {
      if (!at_end())
        status = fault(error, "certificate", "the certificate's chain can't be read");
      break;
    }
    if (SSL_CTX_add0_chain_cert(ssl, link) != 1) {
      X509_free(link);
      status = fault(error, "certificate", "the certificate's chain can't be used");
    }
  }
  BIO_free(reader);
  return status;
}

/* Nobody but root reads or traces a process that holds a key, and it leaves no core with one. (LeakSanitizer traces its
 * own.) */
static void hide_memory(void) {
#ifndef __SANITIZE_ADDRESS__
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static int use_key(SSL_CTX *ssl, const char *pem, struct error *error) {
  hide_memory();
  BIO *reader = reader_of(pem);
  EVP_PKEY *key = reader != NULL ? PEM_read_bio_PrivateKey(reader, NULL, no_passphrase, NULL) : NULL;
  int status = 0;
  if (key == NULL)
    status = fault(error, "key", "the key can't be read (it must be PEM, without a passphrase)");
  else if (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1)
    status = fault(error, "key", "the key does not belong to the certificate");
  EVP_PKEY_free(key);
  BIO_free(reader);
  return status;
}

/* A server tells its clients which authorities it would take. */
static int add_authority(SSL_CTX *ssl, X509 *certificate, bool is_server) {
  if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), certificate) != 1)
    return -EINVAL;
  return is_server && SSL_CTX_add_client_CA(ssl, certificate) != 1 ? -ENOMEM : 0;
}

static int use_authorities(SSL_CTX *ssl, const struct tls_settings *settings, struct error *error) {
  if (settings->authorities == NULL) {
    if (SSL_CTX_set_default_verify_paths(ssl) != 1)
      return fault(error, "authorities", "the system's certificates can't be used");
    return 0;
  }
  BIO *reader = reader_of(settings->authorities);
  int status = 0;
  for (size_t count = 0; status == 0; count++) {
    X509 *certificate = reader != NULL ? PEM_read_bio_X509(reader, NULL, no_passphrase, NULL) : NULL;
    if (certificate == NULL) {
      if (count == 0 || !at_end())
        status = fault(error, "authorities", "the authorities' certificates can't be read");
      break;
    }
    if (add_authority(ssl, certificate, settings->is_server) != 0)
      status = fault(error, "authorities", "an authority's certificate can't be used");
    X509_free(certificate);
  }
  BIO_free(reader);
  return status;
}

/* Nothing in common is an error (RFC 7301 section 3.2); a client that lists nothing does not care. */
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *size, const unsigned char *offered,
                           unsigned offered_size, void *argument) {
  const struct tls_context *context = argument;
  unsigned char *out;
  (void)ssl;
  int found = SSL_select_next_proto(&out, size, context->alpn, (unsigned)context->alpn_size, offered, offered_size);
  if (found != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = out;
  return SSL_TLSEXT_ERR_OK;
}

static int use_alpn(struct tls_context *context, const struct tls_settings *settings, struct error *error) {
  if (settings->alpn_size == 0)
    return 0;
  context->alpn = malloc(settings->alpn_size);
  if (context->alpn == NULL)
    return error_set(error, ENOMEM, "no memory for TLS settings");
  memcpy(context->alpn, settings->alpn, settings->alpn_size);
  context->alpn_size = settings->alpn_size;
  if (settings->is_server)
    SSL_CTX_set_alpn_select_cb(context->ssl, choose_protocol, context);
  else if (SSL_CTX_set_alpn_protos(context->ssl, context->alpn, (unsigned)context->alpn_size) != 0)
    return fault(error, "alpn", "the list of protocols can't be used");
  return 0;
}

static void set_modes(SSL_CTX *ssl, const struct tls_settings *settings) {
  SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ssl, 0);
  SSL_CTX_set_read_ahead(ssl, 1); /* a record's header and body by one call */
  int both = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(ssl, settings->verify ? both : SSL_VERIFY_NONE, NULL);
}

static int configure(struct tls_context *context, const struct tls_settings *settings, struct error *error) {
  set_modes(context->ssl, settings);
  if (SSL_CTX_set_min_proto_version(context->ssl, settings->min_version ? settings->min_version : TLS1_2_VERSION) != 1)
    return fault(error, "min_version", "the version can't be used");
  int status = 0;
  if (settings->certificate != NULL)
    status = use_certificate(context->ssl, settings->certificate, error);
  if (status == 0 && settings->certificate != NULL)
    status = use_key(context->ssl, settings->key, error);
  if (status == 0 && settings->verify)
    status = use_authorities(context->ssl, settings, error);
  return status == 0 ? use_alpn(context, settings, error) : status;
}

struct tls_context *tls_context_new(const struct tls_settings *settings, struct error *error) {
  struct tls_context *context = calloc(1, sizeof *context);
  if (context == NULL)
    goto fail;
  atomic_init(&context->references, 1);
  context->ssl = SSL_CTX_new(settings->is_server ? TLS_server_method() : TLS_client_method());
  context->method = tls_socket_method_new();
  if (context->ssl == NULL || context->method == NULL)
    goto fail;
  if (configure(context, settings, error) == 0)
    return context;
  tls_context_unref(context);
  return NULL;
fail:
  tls_context_unref(context);
  ERR_clear_error();
  error_set(error, ENOMEM, "no memory for TLS settings");
  return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *context) {
  atomic_fetch_add(&context->references, 1);
  return context;
}

void tls_context_unref(struct tls_context *context) {
  if (context == NULL || atomic_fetch_sub(&context->references, 1) > 1)
    return;
  SSL_CTX_free(context->ssl);
  BIO_meth_free(context->method);
  free(context->alpn);
  free(context);
}
