//! A bucket in memory that does what S3 documents, where a folder cannot: any key, conditional puts that are atomic,
//! checksums on the way in and out, ranges, pages.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt as _;
use s3s::dto::{
    ContentType, DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Metadata, Object, PutObjectInput, PutObjectOutput,
    StreamingBlob,
};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};

/// Most bytes of a key, as S3 documents it.
const KEY_BYTES_MAX: usize = 1024;
const PAGE_MAX: i32 = 1000;

#[derive(Debug, Default)]
pub(super) struct MemoryBucket {
    objects: Mutex<BTreeMap<String, Stored>>,
}

#[derive(Clone, Debug)]
struct Stored {
    bytes: Bytes,
    content_type: Option<ContentType>,
    metadata: Option<Metadata>,
    crc32: String,
}

impl MemoryBucket {
    fn find(&self, key: &str) -> S3Result<Stored> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

#[async_trait::async_trait]
impl S3 for MemoryBucket {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { key, body, checksum_crc32, if_none_match, content_type, metadata, .. } = request.input;
        if key.len() > KEY_BYTES_MAX {
            return Err(s3_error!(KeyTooLongError));
        }
        let body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
        let parts: Vec<Bytes> = body.try_collect().await.map_err(|_| s3_error!(IncompleteBody))?;
        let bytes = Bytes::from(parts.concat());
        let mut hasher = s3s::checksum::ChecksumHasher { crc32: Some(Default::default()), ..Default::default() };
        hasher.update(&bytes);
        let crc32 = hasher.finalize().checksum_crc32.expect("it was asked for");
        // A put without a checksum is refused: our adapter sends one.
        if checksum_crc32.as_ref() != Some(&crc32) {
            return Err(s3_error!(BadDigest));
        }
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if if_none_match.is_some() && objects.contains_key(&key) {
            return Err(s3_error!(PreconditionFailed));
        }
        objects.insert(key, Stored { bytes, content_type, metadata, crc32: crc32.clone() });
        Ok(S3Response::new(PutObjectOutput { checksum_crc32: Some(crc32), ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { key, range, .. } = request.input;
        let stored = self.find(&key)?;
        let size = stored.bytes.len();
        let mut output =
            GetObjectOutput { content_type: stored.content_type, metadata: stored.metadata, ..Default::default() };
        let bytes = match range {
            None => {
                output.checksum_crc32 = Some(stored.crc32);
                stored.bytes
            }
            Some(range) => {
                let part = range.check(size as u64)?;
                if part.is_empty() {
                    return Err(s3_error!(InvalidRange));
                }
                output.content_range = Some(format!("bytes {}-{}/{size}", part.start, part.end - 1));
                let place = |at: u64| usize::try_from(at).expect("within the object");
                stored.bytes.slice(place(part.start)..place(part.end))
            }
        };
        output.content_length = Some(i64::try_from(bytes.len()).expect("it is in memory"));
        output.body = Some(StreamingBlob::from(Body::from(bytes)));
        Ok(S3Response::new(output))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let stored = self.find(&request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(i64::try_from(stored.bytes.len()).expect("it is in memory")),
            metadata: stored.metadata,
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let ListObjectsV2Input { prefix, start_after, max_keys, .. } = request.input;
        let (prefix, after) = (prefix.unwrap_or_default(), start_after.unwrap_or_default());
        let page = usize::try_from(max_keys.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX)).expect("at most a thousand");
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let contents: Vec<Object> = found
            .by_ref()
            .take(page)
            .map(|(key, stored)| Object {
                key: Some(key.clone()),
                size: Some(i64::try_from(stored.bytes.len()).expect("it is in memory")),
                ..Default::default()
            })
            .collect();
        let is_truncated = Some(found.next().is_some());
        Ok(S3Response::new(ListObjectsV2Output { contents: Some(contents), is_truncated, ..Default::default() }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }
}
