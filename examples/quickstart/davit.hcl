# From a commit to manifests, with nothing but davit and git on this machine.

davit {
  required_version = ">= 0.1"
}

variable "registry" {
  type        = string
  default     = "127.0.0.1:5100"
  description = "Where images are pushed. davit registry serve is one."
}

variable "repository" {
  type        = string
  description = "The Git repository of the application."
}

source "git" "app" {
  url    = var.repository
  branch = "main"
}

build "oci" "hello" {
  source     = source.git.app
  context    = "site"
  platforms  = ["linux/amd64", "linux/arm64"]
  repository = "${var.registry}/hello"
  tag        = "1.0.${source.git.app.commit_count}"
}

image "registry" "hello" {
  repository = "${var.registry}/hello"
  builds     = [build.oci.hello]
}

policy "semver" "hello" {
  image = image.registry.hello
  range = ">=1.0.0"
}

application "manifests" "hello" {
  source    = source.git.app
  path      = "deploy"
  directory = "out"
  namespace = "hello"
  images    = { "example/hello" = policy.semver.hello.ref }
}

output "image" {
  value = policy.semver.hello.ref
}
