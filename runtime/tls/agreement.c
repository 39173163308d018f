/* SPDX-License-Identifier: MIT
 *
 * What the two ends of a TLS stream have agreed upon, and who the other one is. */
#include "tls/stream.h"
#include "tls/stream_private.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

void tls_stream_agreement(const struct stream *stream, struct tls_agreement *agreement) {
  const SSL *ssl = tls_stream_ssl(stream);
  unsigned alpn_size;
  *agreement = (struct tls_agreement){.server_name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)};
  if (!SSL_is_init_finished(ssl))
    return;
  agreement->version = SSL_get_version(ssl);
  agreement->cipher = SSL_get_cipher_name(ssl);
  SSL_get0_alpn_selected(ssl, &agreement->alpn, &alpn_size);
  agreement->alpn_size = alpn_size;
  agreement->peer_verified = SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE && SSL_get0_peer_certificate(ssl) != NULL &&
                             SSL_get_verify_result(ssl) == X509_V_OK;
}

bool tls_stream_peer_subject(const struct stream *stream, char *text, size_t size) {
  X509 *certificate = SSL_get0_peer_certificate(tls_stream_ssl(stream));
  BIO *writer = certificate != NULL ? BIO_new(BIO_s_mem()) : NULL;
  if (writer == NULL)
    return false;
  X509_NAME_print_ex(writer, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  int length = BIO_read(writer, text, size < INT_MAX ? (int)size - 1 : INT_MAX);
  text[length > 0 ? length : 0] = '\0';
  BIO_free(writer);
  ERR_clear_error();
  return true;
}

size_t tls_stream_peer_name(const struct stream *stream, char *text, size_t size) {
  X509 *certificate = SSL_get0_peer_certificate(tls_stream_ssl(stream));
  const X509_NAME *subject = certificate != NULL ? X509_get_subject_name(certificate) : NULL;
  int at = subject != NULL ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
  unsigned char *utf8 = NULL;
  int length = at >= 0 ? ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))) : 0;
  size_t copied = length > 0 && (size_t)length <= size ? (size_t)length : 0;
  if (copied > 0)
    memcpy(text, utf8, copied);
  OPENSSL_free(utf8);
  ERR_clear_error();
  return copied;
}
