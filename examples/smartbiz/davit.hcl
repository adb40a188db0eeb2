# A small-cluster pipeline: one repository with an API service and its manifests.
#
# The service is built for three platforms when main.py, Dockerfile, requirements.txt or tests
# change, gets the version 1.0.COMMITS, and is deployed from the same repository. Nothing is
# written back to it, so there is no loop to break.

davit {
  required_version = ">= 0.1"
}

variable "repository" {
  type        = string
  description = "The Git repository, such as https://git.example.com/acme/smartbiz.git."
}

variable "registry" {
  type        = string
  description = "Where images are pushed, such as registry.example.com/acme."
}

variable "base_image" {
  type        = string
  default     = "docker.io/library/python:3.11-slim"
  description = "Base image of the service; a new digest behind it is a reason to build."
}

variable "builder" {
  type        = string
  default     = null
  description = "Name of a docker buildx builder. Without one: the BuildKit daemon in BUILDKIT_HOST."
}

variable "namespace" {
  type    = string
  default = "smartbiz"
}

source "git" "repo" {
  url    = var.repository
  branch = "main"
}

build "buildx" "api" {
  source     = source.git.repo
  context    = "apps/api"
  triggers   = ["main.py", "Dockerfile", "requirements.txt", "tests/**"]
  platforms  = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
  args       = { BASE_IMAGE = var.base_image }
  builder    = var.builder
  repository = "${var.registry}/api"
  tag        = "1.0.${source.git.repo.commit_count}"
}

image "registry" "api" {
  repository = "${var.registry}/api"
  builds     = [build.buildx.api]
}

policy "semver" "api" {
  image = image.registry.api
  range = ">=1.0.0"
}

application "kubernetes" "api" {
  source    = source.git.repo
  path      = "apps/api/deploy"
  namespace = var.namespace
  images    = { "smartbiz/api" = policy.semver.api.ref }
  timeout   = "2m"
}

output "version" {
  value = policy.semver.api.tag
}
