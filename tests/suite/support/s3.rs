//! A real S3 in this process: the `s3s` crate's server, which verifies presigned URLs itself, over objects in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::host::SingleDomain;
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;

use super::gate::runtime;

type Objects = Arc<Mutex<BTreeMap<(String, String), Vec<u8>>>>;

/// The server. Buckets are whatever is asked for; hosts are `localhost` and `<bucket>.localhost`.
pub struct S3Server {
    pub addr: SocketAddr,
    objects: Objects,
}

struct Memory(Objects);

impl Memory {
    fn get(&self, bucket: &str, key: &str) -> S3Result<Vec<u8>> {
        let found = self.0.lock().unwrap().get(&(bucket.to_owned(), key.to_owned())).cloned();
        found.ok_or_else(|| s3_error!(NoSuchKey))
    }
}

#[async_trait::async_trait]
impl S3 for Memory {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let bytes = self.get(&request.input.bucket, &request.input.key)?;
        let length = i64::try_from(bytes.len()).ok();
        let body = Some(StreamingBlob::from(Body::from(bytes)));
        let content_type = request.input.response_content_type.clone();
        Ok(S3Response::new(GetObjectOutput { body, content_length: length, content_type, ..Default::default() }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let bytes = self.get(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput { content_length: i64::try_from(bytes.len()).ok(), ..Default::default() }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { bucket, key, body, .. } = request.input;
        let mut bytes = vec![];
        if let Some(body) = body {
            use http_body_util::BodyExt as _;
            let whole = Body::from(body).collect().await.map_err(|_| s3_error!(IncompleteBody))?;
            bytes = whole.to_bytes().to_vec();
        }
        self.0.lock().unwrap().insert((bucket, key), bytes);
        Ok(S3Response::new(PutObjectOutput::default()))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.0.lock().unwrap().remove(&(request.input.bucket, request.input.key));
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }
}

impl S3Server {
    /// Starts a server that knows one access key.
    pub fn start(access_key_id: &str, secret: &str) -> Self {
        let objects = Objects::default();
        let listener = runtime().block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut builder = S3ServiceBuilder::new(Memory(objects.clone()));
        builder.set_auth(SimpleAuth::from_single(access_key_id, secret));
        builder.set_host(SingleDomain::new(&format!("localhost:{}", addr.port())).unwrap());
        let service = builder.build();
        runtime().spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let service = service.clone();
                tokio::spawn(async move {
                    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { addr, objects }
    }

    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        self.objects.lock().unwrap().insert((bucket.to_owned(), key.to_owned()), bytes.to_vec());
    }

    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.objects.lock().unwrap().get(&(bucket.to_owned(), key.to_owned())).cloned()
    }
}
