# The same as ../main.tf for version 0.x of Descope's provider, which has one resource
# for a whole project and makes a new one. What is in a project already and not in this
# file is lost when such a project is adopted: for one that you have, use version 1.x, or
# paste the settings (../README.md).
#
# Written from the provider's documentation. It has not been run.

terraform {
  required_providers {
    descope = {
      source  = "descope/descope"
      version = "~> 0.3"
    }
  }
}

provider "descope" {
  management_key = var.management_key
}

variable "management_key" {
  type      = string
  sensitive = true
}

variable "issuer" {
  type        = string
  description = "PUBLIC_URL/federation/TENANT of the bridge, without a slash at its end."
}

variable "proofing_secret" {
  type      = string
  sensitive = true
}

variable "liveid_secret" {
  type      = string
  sensitive = true
}

resource "descope_project" "main" {
  name = "kosmos-federation"

  attributes = {
    user = [
      { id = "kosmosStatus", name = "Kosmos status", type = "string" },
      { id = "kosmosIal", name = "Kosmos IAL", type = "string" },
      { id = "kosmosIalExpiresAt", name = "Kosmos IAL expires at", type = "string" },
      { id = "kosmosVerifiedAt", name = "Kosmos verified at", type = "string" },
    ]
  }

  authentication = {
    oauth = {
      custom = {
        kosmos-proofing = {
          description            = "Identity proofing by 1Kosmos"
          client_id              = "descope-proofing"
          client_secret          = var.proofing_secret
          issuer                 = var.issuer
          authorization_endpoint = "${var.issuer}/authorize"
          token_endpoint         = "${var.issuer}/token"
          user_info_endpoint     = "${var.issuer}/userinfo"
          jwks_endpoint          = "${var.issuer}/jwks"
          scopes                 = ["openid", "identity_assurance"]
          allowed_grant_types    = ["authorization_code"]
          merge_user_accounts    = false
          claim_mapping = {
            loginId            = "sub"
            givenName          = "given_name"
            familyName         = "family_name"
            kosmosStatus       = "idv_status"
            kosmosIal          = "ial_level"
            kosmosIalExpiresAt = "ial_expires_at"
            kosmosVerifiedAt   = "verified_at"
          }
        }
        kosmos-liveid = {
          description            = "Face step-up by 1Kosmos LiveID"
          client_id              = "descope-liveid"
          client_secret          = var.liveid_secret
          issuer                 = var.issuer
          authorization_endpoint = "${var.issuer}/authorize"
          token_endpoint         = "${var.issuer}/token"
          user_info_endpoint     = "${var.issuer}/userinfo"
          jwks_endpoint          = "${var.issuer}/jwks"
          scopes                 = ["openid"]
          prompts                = ["login"]
          allowed_grant_types    = ["authorization_code"]
          merge_user_accounts    = false
          claim_mapping = {
            loginId            = "user_identifier"
            kosmosIal          = "ial_level"
            kosmosIalExpiresAt = "ial_expires_at"
          }
        }
      }
    }
  }

  flows = {
    kosmos-federated-proofing = { data = file("${path.module}/../../flows/kosmos-federated-proofing.json") }
    kosmos-federated-step-up  = { data = file("${path.module}/../../flows/kosmos-federated-step-up.json") }
  }
}
